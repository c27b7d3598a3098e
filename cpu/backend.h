// The CPU backend's table.
#ifndef FS_CPU_BACKEND_H
#define FS_CPU_BACKEND_H

#include "runtime/backend.h"

extern const fs_backend fs_cpu_backend;

#endif
