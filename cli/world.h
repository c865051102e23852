#pragma once
// Which of several processes this is, as launchers say it.

#include "precept/lm/api.h"

namespace precept {

// torchrun's RANK and WORLD_SIZE, Open MPI's OMPI_COMM_WORLD_RANK and _SIZE, MPICH's PMI_RANK and PMI_SIZE, or Slurm's SLURM_PROCID
// and SLURM_STEP_NUM_TASKS, whichever pair is there first; MASTER_ADDR (default: this machine) and MASTER_PORT (29500; the next one
// where torchrun keeps that for itself). None of them: one process alone. Refuses what is no number, a pair of which one is missing,
// and processes on several machines without MASTER_ADDR.
Result<WorldOptions> world_from_environment();

}  // namespace precept
