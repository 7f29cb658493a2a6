// Three tiers: unit (seconds, no processes), integration (real processes), slow (only in `npm run test:all`).

import { defineConfig } from "vitest/config";

const unit = ["src/**/*.test.ts", "test/{unit,architecture}/**/*.test.ts"];
const slow = ["test/**/*.slow.test.ts"];

export default defineConfig({
  test: {
    // Real processes share two cores: more files at once only make each other late.
    maxWorkers: 2,
    projects: [
      { test: { name: "unit", include: unit, testTimeout: 20_000 } },
      {
        test: {
          name: "integration",
          include: ["test/**/*.test.ts"],
          exclude: [...unit, ...slow],
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
      { test: { name: "slow", include: slow, testTimeout: 900_000, hookTimeout: 180_000 } },
    ],
  },
});
