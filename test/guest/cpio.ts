// A cpio archive in the "newc" format, which the kernel takes as initramfs.

export interface CpioFile {
  readonly name: string;
  readonly mode: number;
  readonly data: Buffer;
}

/** Regular files plus the directories /dev, /proc and /sys. */
export function cpioArchive(files: readonly CpioFile[]): Buffer {
  const directories = ["dev", "proc", "sys"].map((name) => entry(name, 0o040755, Buffer.alloc(0)));
  const regular = files.map((file) => entry(file.name, 0o100000 | file.mode, file.data));
  return Buffer.concat([...directories, ...regular, entry("TRAILER!!!", 0, Buffer.alloc(0))]);
}

function entry(name: string, mode: number, data: Buffer): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.from(`${header}${name}\0`)), padded(data)]);
}

function padded(buffer: Buffer): Buffer {
  return Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)]);
}
