// Planted bugs: small kernels with one mistake each, their correct twins, and which check must notice the mistake.
#ifndef FS_TESTS_SIMT_PLANTED_H
#define FS_TESTS_SIMT_PLANTED_H

// Every kernel reverses the 128 floats of its block: out[128 b + i] = in[128 b + 127 - i].
struct planted_params {
    const float *in;
    float *out;
    int past; // 131: behind every array
    int one;
    float *middle;   // as many floats, for what blocks hand to each other
    unsigned *count; // zero
};

// What a check says, or that it only finds a wrong result or none at all.
extern const char planted_wrong[]; // caught: the output is wrong

struct Planted {
    const char *name;
    const void *bad, *good;
    // A part of the report, or planted_wrong, or null: this check need not notice.
    const char *round_robin, *skewed; // plain build
    const char *race;                 // race build
    const char *sanitizer;            // ASan and UBSan, which end the process
    const char *fatal = nullptr;      // the other builds end as well, with this
    bool early = false;               // launched so that it may start before the kernel in front of it has ended
    unsigned cluster = 1;             // blocks of a cluster
};

constexpr int planted_threads = 128, planted_blocks = 3, planted_shared = planted_threads * 4;
extern const Planted planted[];
extern const int planted_count;

#endif
