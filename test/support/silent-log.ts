// A logger that says nothing.

import { createLogger } from "../../src/runtime/log.ts";

export const silentLog = createLogger({ level: "silent" });
