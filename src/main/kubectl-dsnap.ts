// kubectl-dsnap: the command line. Wiring only; what talks to a cluster is loaded when a command connects.

import { Command, CommanderError } from "commander";
import { clusterCommands } from "../cli/cluster-commands.ts";
import { exitCodes } from "../cli/exit-codes.ts";
import { localCommand } from "../cli/local.ts";

const program = new Command("kubectl-dsnap").description("Snapshots of a guest's memory and disks at one instant");
for (const command of [...clusterCommands(), localCommand()]) program.addCommand(command.exitOverride());
program.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? exitCodes.completed : exitCodes.badInput;
}
