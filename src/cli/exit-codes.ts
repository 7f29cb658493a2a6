// What the exit code of every command means.

export const exitCodes = { completed: 0, failed: 1, badInput: 2 } as const;
