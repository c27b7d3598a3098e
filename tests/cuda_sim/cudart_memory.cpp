// Memory of the simulated CUDA runtime: device allocations with guard pages, pinned and registered host memory.
#include "tests/cuda_sim/cudart.h"

#include <cstdlib>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

#include "tests/simt/simt_run.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

#pragma weak simt_register_memory
#pragma weak simt_unregister_memory

namespace sim {
namespace {

constexpr size_t ALIGNMENT = 256;  // of what cudaMalloc gives
constexpr size_t CANARY = 256;     // bytes before and, at least, after
constexpr size_t REMEMBERED = 256; // freed allocations
constexpr unsigned char CANARY_BYTE = 0xC5, FRESH_DEVICE = 0xFF, FRESH_PINNED = 0xA5;

size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

bool protection() {
    static const char *setting = getenv("FS_CUDART_PROTECT");
    static const bool on = !setting || strcmp(setting, "0") != 0;
    return on;
}

// Guard page, canary, data, canary, guard page; data ends as near to the guard page as its alignment allows.
AllocationRef map_memory(sim_kind kind, size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = round_up(CANARY + round_up(bytes, ALIGNMENT) + CANARY, page);
    void *map = mmap(nullptr, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return nullptr;
    auto *first = static_cast<unsigned char *>(map) + page;
    if (mprotect(first, body, PROT_READ | PROT_WRITE) != 0) {
        munmap(map, body + 2 * page);
        return nullptr;
    }
    unsigned char *data = first + body - CANARY - round_up(bytes, ALIGNMENT);
    memset(data - CANARY, CANARY_BYTE, CANARY);
    memset(data, kind == SIM_DEVICE_MEMORY ? FRESH_DEVICE : FRESH_PINNED, bytes);
    memset(data + bytes, CANARY_BYTE, static_cast<size_t>(first + body - data) - bytes);
    ASAN_POISON_MEMORY_REGION(first, static_cast<size_t>(data - first));
    ASAN_POISON_MEMORY_REGION(data + bytes, static_cast<size_t>(first + body - data) - bytes);
    return std::make_shared<Allocation>(
        Allocation{kind, data, bytes, static_cast<unsigned char *>(map), body + 2 * page, true});
}

void set_access(const Allocation &allocation, int access) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mprotect(allocation.map + page, allocation.map_bytes - 2 * page, access);
}

// Needs access to the memory.
bool canaries_intact(const Allocation &a) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    unsigned char *end = a.map + a.map_bytes - page;
    ASAN_UNPOISON_MEMORY_REGION(a.map + page, a.map_bytes - 2 * page);
    for (const unsigned char *p = a.data - CANARY; p < a.data; ++p)
        if (*p != CANARY_BYTE) return false;
    for (const unsigned char *p = a.data + a.bytes; p < end; ++p)
        if (*p != CANARY_BYTE) return false;
    return true;
}

cudaError_t allocate(sim_kind kind, void **pointer, size_t bytes) {
    State &s = state();
    if (!pointer) return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const bool device = kind == SIM_DEVICE_MEMORY;
    if (device && (bytes > s.device.memory || s.device_bytes > s.device.memory - bytes))
        return cudaErrorMemoryAllocation;
    AllocationRef made = map_memory(kind, bytes);
    if (!made) return cudaErrorMemoryAllocation;
    s.memory[reinterpret_cast<uintptr_t>(made->data)] = made;
    if (simt_register_memory) simt_register_memory(made->data, bytes);
    if (device) {
        s.device_bytes += bytes;
        if (s.device_bytes > s.peak_bytes) s.peak_bytes = s.device_bytes;
        if (protection() && s.memory_open == 0) set_access(*made, PROT_NONE);
    }
    *pointer = made->data;
    return cudaSuccess;
}

bool queued_work_uses(const AllocationRef &allocation) {
    for (const auto &[handle, stream] : state().streams.objects)
        for (const OperationRef &operation : stream->queue)
            for (const Item &item : operation->known())
                if (!item.done && item.enabled)
                    for (const AllocationRef &use : item.work.uses)
                        if (use == allocation) return true;
    return false;
}

// Gives the pages back but keeps the addresses for a while, so that nothing else is where a stale pointer points to.
void quarantine(const AllocationRef &allocation) {
    std::deque<AllocationRef> &freed = state().freed;
    mmap(allocation->map, allocation->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
         0);
    freed.push_back(allocation);
    if (freed.size() <= REMEMBERED) return;
    munmap(freed.front()->map, freed.front()->map_bytes);
    freed.pop_front();
}

cudaError_t release(Lock &lock, const char *function, sim_kind kind, void *pointer, cudaError_t not_found) {
    State &s = state();
    auto found = s.memory.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == s.memory.end() || found->second->kind != kind) {
        misuse("%s of %p, which it cannot free: freed before, or allocated another way", function, pointer);
        return not_found;
    }
    AllocationRef allocation = found->second;
    if (queued_work_uses(allocation))
        misuse("%s of %p (%zu bytes) while queued work uses it", function, pointer, allocation->bytes);
    // As the real ones do: the device comes to rest first.
    const cudaError_t error = wait_all(lock);
    s.memory.erase(reinterpret_cast<uintptr_t>(pointer));
    allocation->alive = false;
    if (simt_unregister_memory) simt_unregister_memory(pointer);
    if (kind == SIM_REGISTERED_MEMORY) return error;
    if (kind == SIM_DEVICE_MEMORY) {
        s.device_bytes -= allocation->bytes;
        set_access(*allocation, PROT_READ | PROT_WRITE);
    }
    if (!canaries_intact(*allocation))
        misuse("something was written next to %p (%zu bytes)", pointer, allocation->bytes);
    quarantine(allocation);
    return error;
}

bool holds(const Allocation &allocation, const void *pointer) {
    const auto *byte = static_cast<const unsigned char *>(pointer);
    return byte >= allocation.data && byte < allocation.data + allocation.bytes;
}

void add_use(Work &work, const void *pointer) {
    AllocationRef allocation = allocation_at(pointer);
    for (auto dead = state().freed.rbegin(); !allocation && dead != state().freed.rend(); ++dead)
        if (holds(**dead, pointer)) allocation = *dead;
    if (allocation) work.uses.push_back(std::move(allocation));
}

// A side of a copy: `device` memory all through, or host memory that is either all pinned or not pinned at its start.
bool check_side(const char *function, const char *side, const void *pointer, size_t bytes, bool device) {
    const AllocationRef allocation = allocation_at(pointer);
    const bool is_device = allocation && allocation->kind == SIM_DEVICE_MEMORY;
    if (device != is_device) {
        misuse("%s: the %s %p is %s memory", function, side, pointer, is_device ? "device" : "no live device");
        return false;
    }
    const size_t left =
        allocation
            ? static_cast<size_t>(allocation->data + allocation->bytes - static_cast<const unsigned char *>(pointer))
            : bytes;
    if (bytes <= left) return true;
    misuse("%s: %zu bytes at the %s %p, where an allocation of %zu bytes has %zu left", function, bytes, side, pointer,
           allocation->bytes, left);
    return false;
}

} // namespace

AllocationRef allocation_at(const void *pointer) {
    State &s = state();
    auto next = s.memory.upper_bound(reinterpret_cast<uintptr_t>(pointer));
    if (next == s.memory.begin()) return nullptr;
    const AllocationRef &candidate = std::prev(next)->second;
    return holds(*candidate, pointer) ? candidate : nullptr;
}

void open_memory() {
    State &s = state();
    if (s.memory_open++ > 0 || !protection()) return;
    for (const auto &[address, allocation] : s.memory)
        if (allocation->kind == SIM_DEVICE_MEMORY) set_access(*allocation, PROT_READ | PROT_WRITE);
}

void close_memory() {
    State &s = state();
    if (--s.memory_open > 0 || !protection()) return;
    for (const auto &[address, allocation] : s.memory)
        if (allocation->kind == SIM_DEVICE_MEMORY) set_access(*allocation, PROT_NONE);
}

void find_uses(Work &work) {
    work.uses.clear();
    // A parameter that looks like a pointer into an allocation is one: 64-bit values do not collide by chance.
    for (size_t at = 0; at + sizeof(void *) <= work.params.size(); at += sizeof(void *)) {
        void *pointer;
        memcpy(&pointer, work.params.data() + at, sizeof pointer);
        add_use(work, pointer);
    }
    if (work.target) add_use(work, work.target);
    if (work.source && work.staged.empty()) add_use(work, work.source);
}

cudaError_t check_copy(const char *function, Work &work) {
    if (work.width == 0 || work.height == 0) return cudaSuccess;
    const bool set = work.type == cudaGraphNodeTypeMemset;
    if (work.height > 1 && (work.target_pitch < work.width || (!set && work.source_pitch < work.width)))
        return cudaErrorInvalidPitchValue;
    const size_t target_bytes = work.target_pitch * (work.height - 1) + work.width;
    const size_t source_bytes = work.source_pitch * (work.height - 1) + work.width;
    if (set) {
        const bool good = check_side(function, "target", work.target, target_bytes, true);
        return good ? cudaSuccess : cudaErrorInvalidValue;
    }
    const AllocationRef target = allocation_at(work.target), source = allocation_at(work.source);
    if (work.kind == cudaMemcpyDefault) {
        const bool to = target && target->kind == SIM_DEVICE_MEMORY, from = source && source->kind == SIM_DEVICE_MEMORY;
        work.kind = to ? (from ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                       : (from ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
    }
    if (work.kind < cudaMemcpyHostToHost || work.kind > cudaMemcpyDeviceToDevice)
        return cudaErrorInvalidMemcpyDirection;
    const bool to = work.kind == cudaMemcpyHostToDevice || work.kind == cudaMemcpyDeviceToDevice;
    const bool from = work.kind == cudaMemcpyDeviceToHost || work.kind == cudaMemcpyDeviceToDevice;
    return check_side(function, "target", work.target, target_bytes, to) &&
                   check_side(function, "source", work.source, source_bytes, from)
               ? cudaSuccess
               : cudaErrorInvalidValue;
}

} // namespace sim

using namespace sim;

extern "C" {

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    return api(__func__, UNSAFE, [&](Lock &) { return allocate(SIM_DEVICE_MEMORY, pointer, bytes); });
}

cudaError_t cudaFree(void *pointer) {
    return api(__func__, UNSAFE | FREES, [&](Lock &lock) {
        return pointer ? release(lock, "cudaFree", SIM_DEVICE_MEMORY, pointer, cudaErrorInvalidValue) : cudaSuccess;
    });
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes) {
    return api(__func__, UNSAFE, [&](Lock &) { return allocate(SIM_PINNED_MEMORY, pointer, bytes); });
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    return api(__func__, UNSAFE, [&](Lock &) {
        if (flags & ~(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined))
            return cudaErrorInvalidValue;
        return allocate(SIM_PINNED_MEMORY, pointer, bytes);
    });
}

cudaError_t cudaFreeHost(void *pointer) {
    return api(__func__, UNSAFE | FREES, [&](Lock &lock) {
        return pointer ? release(lock, "cudaFreeHost", SIM_PINNED_MEMORY, pointer, cudaErrorInvalidValue) : cudaSuccess;
    });
}

cudaError_t cudaHostRegister(void *pointer, size_t bytes, unsigned flags) {
    return api(__func__, UNSAFE, [&](Lock &) {
        if (!pointer || bytes == 0 ||
            flags & ~(cudaHostRegisterPortable | cudaHostRegisterMapped | cudaHostRegisterReadOnly))
            return cudaErrorInvalidValue;
        auto *data = static_cast<unsigned char *>(pointer);
        auto next = state().memory.lower_bound(reinterpret_cast<uintptr_t>(data));
        if (allocation_at(data) || (next != state().memory.end() && next->second->data < data + bytes))
            return cudaErrorHostMemoryAlreadyRegistered;
        state().memory[reinterpret_cast<uintptr_t>(data)] =
            std::make_shared<Allocation>(Allocation{SIM_REGISTERED_MEMORY, data, bytes, nullptr, 0, true});
        if (simt_register_memory) simt_register_memory(data, bytes);
        return cudaSuccess;
    });
}

cudaError_t cudaHostUnregister(void *pointer) {
    return api(__func__, UNSAFE | FREES, [&](Lock &lock) {
        return release(lock, "cudaHostUnregister", SIM_REGISTERED_MEMORY, pointer, cudaErrorHostMemoryNotRegistered);
    });
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned) {
    return api(__func__, PLAIN, [&](Lock &) {
        const AllocationRef allocation = allocation_at(host);
        if (!device || !allocation || allocation->kind == SIM_DEVICE_MEMORY) return cudaErrorInvalidValue;
        *device = host;
        return cudaSuccess;
    });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *pointer) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!attributes) return cudaErrorInvalidValue;
        const AllocationRef allocation = allocation_at(pointer);
        void *plain = const_cast<void *>(pointer);
        *attributes = {};
        attributes->device = allocation ? 0 : -2;
        attributes->type = !allocation                             ? cudaMemoryTypeUnregistered
                           : allocation->kind == SIM_DEVICE_MEMORY ? cudaMemoryTypeDevice
                                                                   : cudaMemoryTypeHost;
        attributes->devicePointer = allocation ? plain : nullptr;
        attributes->hostPointer = allocation && allocation->kind == SIM_DEVICE_MEMORY ? nullptr : plain;
        return cudaSuccess;
    });
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    return api(__func__, PLAIN, [&](Lock &) {
        if (!free_bytes || !total) return cudaErrorInvalidValue;
        *total = state().device.memory;
        *free_bytes = state().device.memory - state().device_bytes;
        return cudaSuccess;
    });
}

} // extern "C"
