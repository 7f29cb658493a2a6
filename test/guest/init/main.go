// The test guest's init: writes numbered records to every disk and to memory, and checks at every tick that all agree.
//
// Tick n: check everything, write record n to each writable virtio disk in order, then stamp memory with n. So at any
// instant memory <= disk <= memory+1. After a restore the loop simply goes on: a disk that is older or newer than the
// memory, or memory with a hole, shows at the very next check and stays reported.
package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	slots    = 128  // records in a disk's ring
	slotSize = 512  // one sector each
	pages    = 4096 // the memory pattern: 16 MiB
	pageSize = 4096
)

type disk struct {
	name string
	fd   int
	bad  string
}

func main() {
	must(syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""))
	must(os.MkdirAll("/sys", 0o755))
	must(syscall.Mount("sysfs", "/sys", "sysfs", 0, ""))
	must(os.MkdirAll("/proc", 0o755))
	must(syscall.Mount("proc", "/proc", "proc", 0, ""))
	for _, name := range []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"} {
		load("/" + name + ".ko")
	}
	console, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY, 0)
	must(err)
	ballast(console)
	disks := find()
	names := []string{}
	for _, d := range disks {
		names = append(names, d.name)
	}
	fmt.Fprintf(console, "guest ready disks=%s\n", strings.Join(names, ","))
	tick(console, disks)
}

// ballast touches the memory that the command line asks for (touch=MiB), so that a save has something to write.
func ballast(console *os.File) {
	line, _ := os.ReadFile("/proc/cmdline")
	var mebibytes int
	for _, word := range strings.Fields(string(line)) {
		fmt.Sscanf(word, "touch=%d", &mebibytes)
	}
	if mebibytes == 0 {
		return
	}
	memory, err := syscall.Mmap(-1, 0, mebibytes<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	must(err)
	for offset := 0; offset < len(memory); offset += pageSize {
		binary.LittleEndian.PutUint64(memory[offset:], uint64(offset)*2654435761+1)
	}
	fmt.Fprintf(console, "touched %d MiB\n", mebibytes)
}

func tick(console *os.File, disks []*disk) {
	memory := make([]byte, pages*pageSize)
	memoryBad := ""
	buffer := aligned(slots * slotSize)
	sector := aligned(slotSize)
	for _, d := range disks {
		blank(d, buffer)
	}
	for n := uint64(1); ; n++ {
		done := n - 1
		if memoryBad == "" {
			memoryBad = checkMemory(memory, done)
		}
		verdicts := []string{"mem=" + verdict(memoryBad)}
		for _, d := range disks {
			if d.bad == "" {
				d.bad = checkDisk(d, buffer, done)
			}
			verdicts = append(verdicts, d.name+"="+verdict(d.bad))
		}
		fmt.Fprintf(console, "tick %d %s\n", done, strings.Join(verdicts, " "))
		for _, d := range disks {
			writeRecord(d, sector, n)
		}
		binary.LittleEndian.PutUint64(memory[(n%pages)*pageSize:], n)
		time.Sleep(20 * time.Millisecond)
	}
}

func verdict(bad string) string {
	if bad == "" {
		return "ok"
	}
	return "MISMATCH(" + bad + ")"
}

// checkMemory: page i holds the newest number up to done that falls on it.
func checkMemory(memory []byte, done uint64) string {
	for i := uint64(0); i < pages; i++ {
		want := expected(done, i, pages)
		if got := binary.LittleEndian.Uint64(memory[i*pageSize:]); got != want {
			return fmt.Sprintf("page %d holds %d, not %d", i, got, want)
		}
	}
	return ""
}

// checkDisk: slot i holds the newest record up to done that falls on it, whole.
func checkDisk(d *disk, buffer []byte, done uint64) string {
	if n, err := syscall.Pread(d.fd, buffer, 0); err != nil || n != len(buffer) {
		return fmt.Sprintf("read %d: %v", n, err)
	}
	for i := uint64(0); i < slots; i++ {
		record := buffer[i*slotSize : (i+1)*slotSize]
		got, sum := binary.LittleEndian.Uint64(record), binary.LittleEndian.Uint32(record[8:])
		if want := expected(done, i, slots); got != want {
			return fmt.Sprintf("slot %d holds %d, not %d", i, got, want)
		}
		if got != 0 && sum != crc32.ChecksumIEEE(record[:8]) {
			return fmt.Sprintf("slot %d is torn", i)
		}
	}
	return ""
}

// expected is the largest number <= done that is congruent to i, or 0 if none was written.
func expected(done, i, size uint64) uint64 {
	if done < i || (i == 0 && done < size) {
		return 0
	}
	return done - (done-i)%size
}

func blank(d *disk, buffer []byte) {
	clear(buffer)
	if _, err := syscall.Pwrite(d.fd, buffer, 0); err != nil {
		d.bad = "blank: " + err.Error()
	}
}

func writeRecord(d *disk, sector []byte, n uint64) {
	clear(sector)
	binary.LittleEndian.PutUint64(sector, n)
	binary.LittleEndian.PutUint32(sector[8:], crc32.ChecksumIEEE(sector[:8]))
	if _, err := syscall.Pwrite(d.fd, sector, int64(n%slots)*slotSize); err != nil && d.bad == "" {
		d.bad = "write: " + err.Error()
	}
}

func find() []*disk {
	var disks []*disk
	for attempt := 0; attempt < 100 && len(disks) == 0; attempt++ {
		time.Sleep(50 * time.Millisecond)
		entries, _ := os.ReadDir("/sys/block")
		names := []string{}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), "vd") {
				names = append(names, entry.Name())
			}
		}
		sort.Strings(names)
		for _, name := range names {
			ro, _ := os.ReadFile("/sys/block/" + name + "/ro")
			if strings.TrimSpace(string(ro)) != "0" {
				continue
			}
			fd, err := syscall.Open("/dev/"+name, syscall.O_RDWR|syscall.O_DIRECT|syscall.O_SYNC, 0)
			must(err)
			disks = append(disks, &disk{name: name, fd: fd})
		}
	}
	return disks
}

func load(path string) {
	file, err := os.Open(path)
	must(err)
	defer file.Close()
	parameters := []byte{0}
	if _, _, errno := syscall.Syscall(313, file.Fd(), uintptr(unsafe.Pointer(&parameters[0])), 0); errno != 0 && errno != syscall.EEXIST {
		must(fmt.Errorf("%s: %w", path, errno))
	}
}

// aligned gives memory that O_DIRECT takes.
func aligned(size int) []byte {
	raw := make([]byte, size+pageSize)
	skip := pageSize - int(uintptr(unsafe.Pointer(&raw[0]))%pageSize)
	return raw[skip : skip+size : skip+size]
}

func must(err error) {
	if err != nil {
		fmt.Println("init failed:", err)
		for {
			time.Sleep(time.Hour)
		}
	}
}
