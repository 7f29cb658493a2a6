// kubectl-dsnap: the command line. Wiring only; what talks to a cluster is loaded when it is used.

import { Command } from "commander";
import { exitCodes } from "../cli/exit-codes.ts";
import { localCommand } from "../cli/local.ts";

const program = new Command("kubectl-dsnap")
  .description("Snapshots of a guest's memory and disks at one instant")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.completed : exitCodes.badInput));
program.addCommand(localCommand().exitOverride());

await program.parseAsync();
