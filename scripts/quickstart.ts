// `npm run quickstart`: sets everything up, then shows one held snapshot from end to end.

import { setUpOrExplain } from "./setup.ts";

if (await setUpOrExplain()) await import("./quickstart/main.ts");
else process.exitCode = 1;
