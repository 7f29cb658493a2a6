// Where commands write and how they tell their exit code; tests hand in another.

/** What a command needs of the process that runs it. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  exitCode(code: number): void;
}

/** The terminal of this process. */
export const processTerminal: Terminal = {
  out: (text) => void process.stdout.write(`${text}\n`),
  error: (text) => void process.stderr.write(`${text}\n`),
  exitCode: (code) => {
    process.exitCode = code;
  },
};
