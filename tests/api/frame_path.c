// What the frame path of the shared library may not do: allocate, start threads, lock. And what a session of full size
// may cost: peak memory and time to open. The calls are counted by defining them here, in front of the C library's.
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fastscnn/fastscnn.h"

#define SKIPPED 77

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void) {
    printf("SKIP: sanitizers replace the allocator and need memory and time of their own\n");
    return SKIPPED;
}
#else

#define EXPORTED __attribute__((visibility("default")))

enum { MALLOC, CALLOC, REALLOC, FREE, POSIX_MEMALIGN, ALIGNED_ALLOC, THREAD_CREATE, MUTEX_LOCK, COND_WAIT, CALLS };
static const char *const names[CALLS] = {"malloc",           "calloc",        "realloc",        "free",
                                         "posix_memalign",   "aligned_alloc", "pthread_create", "pthread_mutex_lock",
                                         "pthread_cond_wait"};
static void *next[CALLS];
static atomic_int counted[CALLS];
static atomic_bool counting;

// The C library may allocate while it looks a name up: it gets memory from here meanwhile, which is never given back.
static _Alignas(16) char early[1 << 16];
static atomic_size_t early_used;
static _Thread_local bool looking __attribute__((tls_model("initial-exec")));

static void *take_early(size_t size) {
    const size_t at = atomic_fetch_add(&early_used, (size + 15) / 16 * 16);
    return at + size <= sizeof early ? early + at : NULL;
}

static bool is_early(const void *block) {
    return (const char *)block >= early && (const char *)block < early + sizeof early;
}

static void *find(int call) {
    if (next[call] == NULL) {
        looking = true;
        // Condition variables changed once: the unversioned look-up may find the old ones.
        void *found = call == COND_WAIT ? dlvsym(RTLD_NEXT, names[call], "GLIBC_2.3.2") : NULL;
        next[call] = found ? found : dlsym(RTLD_NEXT, names[call]);
        looking = false;
    }
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add(&counted[call], 1);
    return next[call];
}

// Object and function pointers have one representation under POSIX; ISO C has no cast between them.
#define REAL(type, call)                                                                                               \
    type real;                                                                                                         \
    void *address = find(call);                                                                                        \
    memcpy(&real, &address, sizeof real)

typedef void *(*malloc_fn)(size_t);
typedef void *(*calloc_fn)(size_t, size_t);
typedef void *(*realloc_fn)(void *, size_t);
typedef void (*free_fn)(void *);
typedef int (*posix_memalign_fn)(void **, size_t, size_t);
typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int (*lock_fn)(pthread_mutex_t *);
typedef int (*cond_wait_fn)(pthread_cond_t *, pthread_mutex_t *);

EXPORTED void *malloc(size_t size) {
    if (looking) return take_early(size);
    REAL(malloc_fn, MALLOC);
    return real(size);
}

EXPORTED void *calloc(size_t count, size_t size) {
    if (looking) return take_early(count * size);
    REAL(calloc_fn, CALLOC);
    return real(count, size);
}

EXPORTED void *realloc(void *block, size_t size) {
    if (looking || is_early(block)) {
        void *moved = looking ? take_early(size) : malloc(size);
        if (moved && block) {
            const size_t room = (size_t)(early + sizeof early - (char *)block);
            memcpy(moved, block, size < room ? size : room);
        }
        return moved;
    }
    REAL(realloc_fn, REALLOC);
    return real(block, size);
}

EXPORTED void free(void *block) {
    if (block == NULL || is_early(block)) return;
    REAL(free_fn, FREE);
    real(block);
}

EXPORTED int posix_memalign(void **block, size_t alignment, size_t size) {
    REAL(posix_memalign_fn, POSIX_MEMALIGN);
    return real(block, alignment, size);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size) {
    REAL(calloc_fn, ALIGNED_ALLOC);
    return real(alignment, size);
}

EXPORTED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *user) {
    REAL(create_fn, THREAD_CREATE);
    return real(thread, attributes, start, user);
}

EXPORTED int pthread_mutex_lock(pthread_mutex_t *mutex) {
    REAL(lock_fn, MUTEX_LOCK);
    return real(mutex);
}

EXPORTED int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    REAL(cond_wait_fn, COND_WAIT);
    return real(condition, mutex);
}

static int failures;

static void fail(const char *what, const char *detail) {
    printf("FAIL: %s: %s\n", what, detail);
    failures++;
}

#define NEED(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) != FSCNN_OK) {                                                                                      \
            printf("FAIL: %s: %s\n", #call, fscnn_error());                                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void start_counting(void) {
    for (int i = 0; i < CALLS; i++) atomic_store(&counted[i], 0);
    atomic_store(&counting, true);
}

// Leaves the number of calls that should not have been made.
static int stop_counting(const char *what) {
    atomic_store(&counting, false);
    int sum = 0;
    for (int i = 0; i < CALLS; i++) {
        const int n = atomic_load(&counted[i]);
        if (n) printf("FAIL: %s: %s was called %d times\n", what, names[i], n);
        sum += n;
    }
    if (sum) failures++;
    return sum;
}

static void *count_thread(void *user) {
    free(malloc(1));
    return user;
}

// The counters do see calls, from this thread and from others, and from within the shared library.
static void check_counters(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    void *volatile block = NULL;
    void *aligned = NULL;
    start_counting();
    block = calloc(1, 10);
    block = realloc(block, 20);
    free(block);
    block = aligned_alloc(64, 64);
    free(block);
    if (posix_memalign(&aligned, 64, 64) == 0) free(aligned);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    if (pthread_create(&thread, NULL, count_thread, NULL) == 0) pthread_join(thread, NULL);
    atomic_store(&counting, false);
    for (int i = 0; i < CALLS; i++)
        if (i != COND_WAIT && atomic_load(&counted[i]) == 0) fail("a call was not counted", names[i]);

    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = 64, options.height = 64, options.threads = 2, options.tune = -1;
    start_counting();
    NEED(fscnn_engine_open("random:1", NULL, &engine));
    NEED(fscnn_session_open(engine, &options, &session));
    atomic_store(&counting, false);
    if (atomic_load(&counted[POSIX_MEMALIGN]) + atomic_load(&counted[MALLOC]) == 0)
        fail("counters", "allocations of the library are not seen");
    if (atomic_load(&counted[THREAD_CREATE]) != 2) fail("counters", "threads of the library are not seen");
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

static uint8_t *picture(int width, int height) {
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3);
    if (pixels == NULL) exit(1);
    uint32_t noise = 7;
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        pixels[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    return pixels;
}

static void frames(fscnn_precision precision, bool logits) {
    enum { WIDTH = 512, HEIGHT = 256, FRAMES = 20 };
    fscnn_engine_options engine_options;
    fscnn_engine_options_init(&engine_options);
    engine_options.precision = precision;
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.width = WIDTH, options.height = HEIGHT, options.in_flight = 2, options.tune = -1;
    fscnn_engine *engine = NULL;
    fscnn_session *session = NULL;
    NEED(fscnn_engine_open("random:1", &engine_options, &engine));
    NEED(fscnn_session_open(engine, &options, &session));
    uint8_t *pixels = picture(WIDTH, HEIGHT);
    uint8_t *labels[2] = {malloc((size_t)WIDTH * HEIGHT), malloc((size_t)WIDTH * HEIGHT)};
    float *scores = logits ? malloc((size_t)WIDTH * HEIGHT * 19 * sizeof(float)) : NULL;
    if (!labels[0] || !labels[1] || (logits && !scores)) exit(1);
    fscnn_frame frame;
    fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
    fscnn_outputs outputs[2];
    for (int i = 0; i < 2; i++) {
        fscnn_outputs_init(&outputs[i]);
        outputs[i].labels = labels[i];
    }
    outputs[0].logits = scores; // one frame in two

    NEED(fscnn_run(session, &frame, &outputs[0]));
    start_counting();
    for (int i = 0; i < FRAMES; i++) NEED(fscnn_run(session, &frame, &outputs[i % 2]));
    const int run_calls = stop_counting("fscnn_run");

    start_counting();
    uint64_t ticket, before = 0;
    for (int i = 0; i < FRAMES; i++) {
        NEED(fscnn_submit(session, &frame, &outputs[i % 2], &ticket));
        if (before) NEED(fscnn_wait(session, before, -1));
        before = ticket;
    }
    NEED(fscnn_wait(session, before, -1));
    const int submit_calls = stop_counting("fscnn_submit and fscnn_wait");
    if (memcmp(labels[0], labels[1], (size_t)WIDTH * HEIGHT) != 0) fail("labels", "two equal frames differ");
    printf("%s%s: %d frames of fscnn_run: %d calls; %d submitted, 2 in flight: %d calls\n",
           precision == FSCNN_PRECISION_FP32 ? "fp32" : "bf16", logits ? " with logits" : "", FRAMES, run_calls, FRAMES,
           submit_calls);
    free(pixels), free(labels[0]), free(labels[1]), free(scores);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Whether others keep the cores of this machine busy; prints the load.
static bool busy(void) {
    cpu_set_t set;
    const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    double load = 0;
    FILE *f = fopen("/proc/loadavg", "r");
    if (f == NULL || fscanf(f, "%lf", &load) != 1) load = 0;
    if (f) fclose(f);
    printf("load %.2f on %d cores\n", load, cores);
    return load > cores;
}

static long peak_kilobytes(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long peak = -1;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld kB", &peak) == 1) break;
    if (f) fclose(f);
    return peak;
}

static void full_size(void) {
    enum { WIDTH = 2048, HEIGHT = 1024 };
    fscnn_engine_options engine_options;
    fscnn_engine_options_init(&engine_options);
    engine_options.precision = FSCNN_PRECISION_FP32;
    uint8_t *pixels = picture(WIDTH, HEIGHT), *labels = malloc((size_t)WIDTH * HEIGHT);
    if (labels == NULL) exit(1);
    double best = 1e9;
    for (int trial = 0; trial < 3; trial++) {
        fscnn_engine *engine = NULL;
        fscnn_session *session = NULL;
        const double start = now();
        NEED(fscnn_engine_open("random:1", &engine_options, &engine));
        NEED(fscnn_session_open(engine, NULL, &session));
        const double seconds = now() - start;
        if (seconds < best) best = seconds;
        fscnn_session_info info;
        fscnn_session_info_init(&info);
        NEED(fscnn_session_get_info(session, &info));
        fscnn_frame frame;
        fscnn_frame_init(&frame, FSCNN_RGB8, WIDTH, HEIGHT, pixels);
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = labels;
        NEED(fscnn_run(session, &frame, &outputs));
        printf("%dx%d fp32, %d threads: opened in %.3f s; %.1f MB of activations, %.1f MB of scratch\n", HEIGHT, WIDTH,
               info.threads, seconds, 1e-6 * (double)info.arena_bytes, 1e-6 * (double)info.scratch_bytes);
        fscnn_session_close(&session);
        fscnn_engine_close(&engine);
    }
    free(pixels), free(labels);

    const long peak = peak_kilobytes();
    printf("peak resident memory %.1f MB (at most 250)\n", 1.024e-3 * (double)peak);
    if (peak < 0 || 1024.0 * (double)peak >= 250e6) fail("peak memory", "VmHWM is missing or not under 250 MB");
    printf("best time to open %.3f s (at most 0.5)\n", best);
    if (best >= 0.5) {
        if (!busy())
            fail("time to open", "0.5 s or more on an idle machine");
        else if (best >= 3)
            fail("time to open", "3 s or more, even for a busy machine");
        else
            printf("NOT JUDGED: time to open, because this machine is busy with other work\n");
    }
}

int main(void) {
    check_counters();
    frames(FSCNN_PRECISION_FP32, false);
    frames(FSCNN_PRECISION_FP32, true);
    frames(FSCNN_PRECISION_BF16, false);
    full_size();
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
#endif
