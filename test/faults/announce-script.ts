// The diskChangeCommand of the fault lab: remembers what it is told, and fails, hangs or waits where a test wants it to.

/** For `sh -c`; `$1` is the lab's directory. */
export const announceScript = `
cat >> "$1/announced"
[ -e "$1/announce-trap" ] || exit 0
how=$(cat "$1/announce-trap")
rm "$1/announce-trap"
touch "$1/announce-sprung"
case $how in
  fail) exit 3 ;;
  hang) sleep 30 ;;
  wait) while [ ! -e "$1/announce-go" ]; do sleep 0.02; done ;;
esac
`;
