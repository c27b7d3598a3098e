// Facts of the machine that a measurement is worth little without: processor, cores, clocks, governor, system, load.
#ifndef FS_CLI_MACHINE_H
#define FS_CLI_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/text.h"

typedef struct fs_machine {
    char cpu[128];         // "AMD EPYC 7763"; "" when unknown
    int processors, cores; // as the system lists them, and physical cores; 0: unknown
    int usable;            // processors that this process may run on
    double mhz, mhz_max;   // mean of all processors now; the highest that one may reach; 0: unknown
    char governor[32];     // of processor 0; "" when the system has none, as most virtual machines
    char system[160];      // "Linux 6.1.0 x86_64"
    uint64_t memory_bytes; // 0: unknown
    double load;           // mean over the last minute; below 0: unknown
} fs_machine;

// Reads /proc and /sys below `root`, "" for this machine's. What is not there is left unknown.
void fs_machine_read(const char *root, fs_machine *machine);
double fs_machine_mhz(const char *root); // clock now, which changes while one measures

// How busy others kept the machine between two moments. Not the load average, which counts one's own warm-up.
typedef struct fs_moment {
    double busy; // processor time of all processes since the machine started, in seconds; below 0: unknown
    double own;  // of this one
    double at;   // by the monotonic clock
} fs_moment;
fs_moment fs_machine_moment(const char *root);
double fs_machine_others(fs_moment from, fs_moment to); // processors, as 0.25; below 0: unknown, or too short to tell
// "AMD EPYC, 2 processors on 2 cores, 2 usable" and "2596 MHz now, ..." into text[2], each of `size` bytes.
void fs_machine_describe(const fs_machine *machine, char *what, char *clocks, size_t size);
void fs_machine_json(fs_text *json, const char *key, const fs_machine *machine);

#endif
