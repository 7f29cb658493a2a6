// The name under which this command line writes.

/** Not "kubectl-...": Flux takes over the fields of managers whose names start with kubectl, and would undo a resume. */
export const fieldManager = "dsnap";
