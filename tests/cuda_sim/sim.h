// The controls of the simulated CUDA runtime: what it counts, what it found, which call it fails, what device it plays.
//
// Streams are lazy: work runs only while some call waits or queries (one operation a query), and the order between
// streams is shuffled by seed (environment FS_CUDART_SEED, or sim_reset), subject to events only. So a missing wait
// shows as stale data. Device memory is NaN when allocated, and the host has no access to it while no work runs:
// reading or writing a device pointer in host code is a segmentation fault (FS_CUDART_PROTECT=0 gives access, for a
// debugger).
#ifndef FS_TESTS_CUDA_SIM_H
#define FS_TESTS_CUDA_SIM_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Objects that the program under test creates and must destroy.
typedef enum sim_kind {
    SIM_ALL,
    SIM_DEVICE_MEMORY,
    SIM_PINNED_MEMORY,
    SIM_REGISTERED_MEMORY, // cudaHostRegister
    SIM_STREAM,
    SIM_EVENT,
    SIM_GRAPH,
    SIM_GRAPH_EXEC
} sim_kind;
typedef struct sim_count {
    size_t count, bytes;
} sim_count;
sim_count sim_live(sim_kind kind); // now
size_t sim_peak_bytes(void);       // most device memory at any time since sim_reset

// The n-th runtime call from now (1: the next one) returns `code` and does nothing; sticky: so do all that follow.
// n == 0 cancels. Calls that free or destroy do their work and return the code, as with an error of earlier work, so
// that leaks stay the caller's. Calls that only give a text or the last error neither count nor fail.
void sim_fail_at(unsigned long n, bool sticky, cudaError_t code);
bool sim_fault_fired(void);

// The n-th kernel, copy or memset to execute from now fails on the device: as with a real fault, the call that waits
// for it and every later call return `code`. n == 0 cancels.
void sim_fail_work(unsigned long n, cudaError_t code);

// false: kernels are launched, waited for and checked as always, but compute nothing, until true. For loops over calls
// that fail, which look at statuses alone: computing is nearly all the time that a frame takes.
void sim_compute(bool on);

unsigned long sim_calls(void);                       // runtime calls since the start or sim_reset
unsigned long sim_calls_named(const char *function); // "cudaMalloc"

// Events see a kernel (its entry, or the function of sim_enqueue) take this long; negative: as by default, by the
// number of its threads. entry NULL: all of them by default. So a test decides which candidate is the quickest.
void sim_set_duration(const void *entry, double ms);

// What cudaGetDeviceProperties and friends describe. Zero or NULL keeps the present value, except devices.
typedef struct sim_device {
    int devices;         // 0: cudaErrorNoDevice; negative: cudaErrorInsufficientDriver
    int sm;              // 90
    const char *name;    // "Simulated H100"
    size_t shared_optin; // most dynamic shared memory of a block, bytes
    int multiprocessors;
    size_t memory; // bytes; cudaMalloc beyond it fails with cudaErrorMemoryAllocation
} sim_device;
void sim_set_device(const sim_device *device);

// What a library (the stand-in cuDNN) queues as a kernel of its own: fn(copy of params) runs when the stream gets
// there, with device memory accessible; it is captured as a kernel node. Pointers to device memory inside params,
// 8-byte aligned, are tracked as with any kernel.
cudaError_t sim_enqueue(cudaStream_t stream, const char *name, void (*fn)(const void *params), const void *params,
                        size_t bytes);

// Leaks (objects alive now) and misuse found since the start or sim_reset, one a line; "" when all is well. Valid until
// the calling thread's next sim_report.
const char *sim_report(void);
unsigned long sim_misuses(void);

// Forgets counts, misuse, planned faults, durations and errors, and takes a new seed for the order between streams.
// Live objects stay.
void sim_reset(unsigned long seed);

#ifdef __cplusplus
}

// Kernels compute nothing while it lives.
struct sim_idle {
    sim_idle() { sim_compute(false); }
    ~sim_idle() { sim_compute(true); }
    sim_idle(const sim_idle &) = delete;
};
#endif
#endif
