// What a frame may not do: allocate, map memory, start threads or take locks, in any thread of the process. The program
// puts its own functions before those of the C library, counts their calls between two points, and runs frames through
// the shared library. It also checks the memory and the time that opening takes, and a session whose threads do not
// start.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fastscnn/fastscnn.h"

// A sanitizer brings its own malloc and locks, which stay in place then: the frames run, nearly uncounted.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// ---- Counting ------------------------------------------------------------------------------------------------------

enum { ALLOCATE, GIVE_BACK, MAP, THREAD, LOCK, WAIT, KINDS };
static const char *const kind_names[KINDS] = {"allocations", "frees", "mmaps", "threads", "locks", "condition waits"};
static atomic_bool counting;
static atomic_int calls[KINDS];
static atomic_int threads_allowed = 1 << 30; // pthread_create fails after that many

static void count(int kind) {
    if (atomic_load_explicit(&counting, memory_order_relaxed)) atomic_fetch_add(&calls[kind], 1);
}

static _Thread_local bool looking_up;
static void look_up(void *target, const char *name) {
    looking_up = true;
    void *found = dlsym(RTLD_NEXT, name);
    looking_up = false;
    if (found == NULL) abort();
    memcpy(target, &found, sizeof found);
}
// The next definition of NAME, looked up once; racing threads find the same.
#define NEXT(TYPE, NAME)                                                                                               \
    static _Atomic(TYPE) stored;                                                                                       \
    TYPE next = atomic_load_explicit(&stored, memory_order_relaxed);                                                   \
    if (next == NULL) {                                                                                                \
        look_up(&next, NAME);                                                                                          \
        atomic_store_explicit(&stored, next, memory_order_relaxed);                                                    \
    }

typedef void *(*malloc_fn)(size_t);
typedef void *(*calloc_fn)(size_t, size_t);
typedef void *(*realloc_fn)(void *, size_t);
typedef void (*free_fn)(void *);
typedef int (*posix_memalign_fn)(void **, size_t, size_t);
typedef void *(*mmap_fn)(void *, size_t, int, int, int, off_t);
typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int (*lock_fn)(pthread_mutex_t *);
typedef int (*wait_fn)(pthread_cond_t *, pthread_mutex_t *);

#if !SANITIZED
// dlsym itself allocates on some systems: such a call gets memory from here.
static _Alignas(64) char early[65536];
static size_t early_used;
static void *early_memory(size_t bytes) {
    void *at = early + early_used;
    early_used += (bytes + 63) & ~(size_t)63;
    if (early_used > sizeof early) abort();
    return at;
}
static bool is_early(const void *p) {
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

void *malloc(size_t bytes) {
    if (looking_up) return early_memory(bytes);
    NEXT(malloc_fn, "malloc")
    count(ALLOCATE);
    return next(bytes);
}

void *calloc(size_t n, size_t size) {
    if (looking_up) return early_memory(n * size); // zero, and used once
    NEXT(calloc_fn, "calloc")
    count(ALLOCATE);
    return next(n, size);
}

void *realloc(void *old, size_t bytes) {
    if (looking_up) return early_memory(bytes);
    NEXT(realloc_fn, "realloc")
    count(ALLOCATE);
    return next(old, bytes);
}

void free(void *p) {
    if (p == NULL || is_early(p)) return;
    NEXT(free_fn, "free")
    count(GIVE_BACK);
    next(p);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    NEXT(posix_memalign_fn, "posix_memalign")
    count(ALLOCATE);
    return next(out, alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    NEXT(calloc_fn, "aligned_alloc")
    count(ALLOCATE);
    return next(alignment, bytes);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    NEXT(mmap_fn, "mmap")
    count(MAP);
    return next(at, bytes, protection, flags, file, offset);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    NEXT(lock_fn, "pthread_mutex_lock")
    count(LOCK);
    return next(mutex);
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    NEXT(wait_fn, "pthread_cond_wait")
    count(WAIT);
    return next(condition, mutex);
}
#endif

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    NEXT(create_fn, "pthread_create")
    count(THREAD);
    if (atomic_fetch_sub(&threads_allowed, 1) <= 0) return EAGAIN;
    return next(thread, attributes, start, argument);
}

// ---- Checks --------------------------------------------------------------------------------------------------------

static int failures;

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "FAILED: %s (%s)\n", what, fscnn_error());
    failures++;
}

static void begin(void) {
    for (int i = 0; i < KINDS; i++) atomic_store(&calls[i], 0);
    atomic_store(&counting, true);
}

static void expect_none(const char *what) {
    atomic_store(&counting, false);
    for (int i = 0; i < KINDS; i++)
        if (atomic_load(&calls[i])) {
            fprintf(stderr, "FAILED: %s: %d %s\n", what, atomic_load(&calls[i]), kind_names[i]);
            failures++;
        }
}

static atomic_int told; // frames, by the callback
static void count_frame(void *user, uint64_t ticket, fscnn_status status) {
    (void)user, (void)ticket;
    atomic_fetch_add(&told, status == FSCNN_OK);
}

static fscnn_session *open_session(fscnn_engine *engine, int height, int width, int threads, int tune) {
    fscnn_session_options options;
    fscnn_session_options_init(&options);
    options.height = height, options.width = width, options.threads = threads, options.tune = tune;
    options.done = count_frame;
    fscnn_session *session = NULL;
    check(fscnn_session_open(engine, &options, &session) == FSCNN_OK, "open a session");
    return session;
}

static fscnn_engine *open_engine(fscnn_precision precision) {
    fscnn_engine_options options;
    fscnn_engine_options_init(&options);
    options.precision = precision;
    fscnn_engine *engine = NULL;
    check(fscnn_engine_open("random:1", &options, &engine) == FSCNN_OK, "open an engine");
    return engine;
}

enum { HEIGHT = 192, WIDTH = 256, CLASSES = 19, FRAMES = 20 };
static _Alignas(16) uint8_t pixels[2 * HEIGHT * WIDTH * 12];
static uint8_t labels[2][HEIGHT * WIDTH], confidence[HEIGHT * WIDTH], overlay[4 * HEIGHT * WIDTH];
static float logits[HEIGHT * WIDTH * CLASSES];
static uint32_t histogram[CLASSES];

// The counters count: else nothing below would mean anything.
static void counters_work(void) {
#if !SANITIZED
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    begin();
    void *volatile a = malloc(10);
    void *volatile b = calloc(2, 5);
    b = realloc(b, 100);
    free(a);
    free(b);
    void *c = NULL;
    if (posix_memalign(&c, 64, 100) == 0) free(c);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    atomic_store(&counting, false);
    munmap(page, 4096);
    check(atomic_load(&calls[ALLOCATE]) == 4 && atomic_load(&calls[GIVE_BACK]) == 3 && atomic_load(&calls[LOCK]) == 1 &&
              atomic_load(&calls[MAP]) == 1,
          "the counters count");
    // The library's calls come through here, too.
    begin();
    fscnn_engine *engine = open_engine(FSCNN_PRECISION_FP32);
    fscnn_session *session = open_session(engine, 64, 64, 3, -1);
    atomic_store(&counting, false);
    check(atomic_load(&calls[ALLOCATE]) > 5 && atomic_load(&calls[THREAD]) == 3, "opening is seen to allocate");
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
#endif
}

static void frames(fscnn_precision precision, fscnn_format format, int width, bool with_logits, bool tuned) {
    char what[96];
    snprintf(what, sizeof what, "precision %d, format %d, width %d, logits %d, tuned %d", precision, format, width,
             with_logits, tuned);
    fscnn_engine *engine = open_engine(precision);
    fscnn_session *session = open_session(engine, HEIGHT, WIDTH, 2, tuned ? 0 : -1);
    fscnn_frame frame;
    fscnn_frame_init(&frame, format, width, HEIGHT, pixels);
    for (int i = 1; i < 3; i++) frame.plane[i] = pixels;
    fscnn_outputs outputs[2];
    for (int i = 0; i < 2; i++) {
        fscnn_outputs_init(&outputs[i]);
        outputs[i].labels = labels[i];
        if (with_logits)
            outputs[i].logits = logits, outputs[i].confidence = confidence, outputs[i].histogram = histogram,
            outputs[i].overlay = overlay;
    }
    const int before = atomic_load(&told);
    // Every place in flight once: the first frame of a kind may allocate.
    for (int i = 0; i < 2; i++) check(fscnn_run(session, &frame, &outputs[0]) == FSCNN_OK, what);
    begin();
    for (int i = 0; i < FRAMES; i++) failures += fscnn_run(session, &frame, &outputs[0]) != FSCNN_OK;
    expect_none(what);
    uint64_t ticket = 0;
    begin();
    failures += fscnn_submit(session, &frame, &outputs[0], &ticket) != FSCNN_OK;
    for (int i = 1; i < FRAMES; i++) {
        failures += fscnn_submit(session, &frame, &outputs[i % 2], &ticket) != FSCNN_OK;
        fscnn_status status = fscnn_poll(session, ticket - 1); // may be too early
        if (status == FSCNN_ERR_TIMEOUT) status = fscnn_wait(session, ticket - 1, -1);
        failures += status != FSCNN_OK;
    }
    failures += fscnn_cancel(session) != FSCNN_OK;
    const fscnn_status last = fscnn_wait(session, ticket, -1);
    failures += last != FSCNN_OK && last != FSCNN_ERR_CANCELLED;
    expect_none(what);
    check(atomic_load(&told) == before + 2 + 2 * FRAMES - (last != FSCNN_OK), "the callback is called");
    if (last != FSCNN_OK) check(fscnn_run(session, &frame, &outputs[(FRAMES - 1) % 2]) == FSCNN_OK, what);
    check(memcmp(labels[0], labels[1], sizeof labels[0]) == 0, what);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

// When the n-th thread does not start, opening fails and takes the others back.
static void threads_that_do_not_start(void) {
    fscnn_engine *engine = open_engine(FSCNN_PRECISION_FP32);
    for (int n = 0; n < 4; n++) {
        fscnn_session_options options;
        fscnn_session_options_init(&options);
        options.height = options.width = 64, options.threads = 4, options.tune = -1;
        fscnn_session *session = NULL;
        atomic_store(&threads_allowed, n);
        const fscnn_status status = fscnn_session_open(engine, &options, &session);
        atomic_store(&threads_allowed, 1 << 30);
        check(status == FSCNN_ERR_SYSTEM && session == NULL && strstr(fscnn_error(), "fewer"),
              "threads that do not start");
    }
    fscnn_session *session = open_session(engine, 64, 64, 4, -1);
    fscnn_session_close(&session);
    fscnn_engine_close(&engine);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Peak resident memory of this process in MB, 0 when unknown.
static double peak_memory(void) {
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) return 0;
    char line[256];
    double megabytes = 0;
    while (fgets(line, sizeof line, file)) {
        long kilobytes;
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) megabytes = (double)kilobytes / 1024;
    }
    fclose(file);
    return megabytes;
}

static void cost_of_opening(void) {
    static uint8_t picture[1024 * 2048 * 3], answer[1024 * 2048];
    memset(picture, 100, sizeof picture);
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        const double before = seconds();
        fscnn_engine *engine = open_engine(FSCNN_PRECISION_FP32);
        fscnn_session *session = open_session(engine, 1024, 2048, 2, -1);
        const double took = seconds() - before;
        if (took < best) best = took;
        fscnn_frame frame;
        fscnn_frame_init(&frame, FSCNN_RGB8, 2048, 1024, picture);
        fscnn_outputs outputs;
        fscnn_outputs_init(&outputs);
        outputs.labels = answer;
        check(fscnn_run(session, &frame, &outputs) == FSCNN_OK, "a large frame");
        fscnn_session_close(&session);
        fscnn_engine_close(&engine);
    }
    const double memory = peak_memory();
    printf("1024x2048 fp32: engine and session open in %.0f ms without tuning; peak memory %.0f MB\n", 1e3 * best,
           memory);
    check(memory < 250, "peak memory under 250 MB");
#if defined(__OPTIMIZE__) && defined(NDEBUG)
    check(best < 0.5, "opening under 0.5 s");
#endif
}

int main(void) {
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 31 + i / 700);
    if (!SANITIZED) cost_of_opening(); // first: it reads the peak of the process
    counters_work();
    frames(FSCNN_PRECISION_FP32, FSCNN_RGB8, WIDTH, false, false);
    frames(FSCNN_PRECISION_FP32, FSCNN_BGRA8, WIDTH, true, false);
    frames(FSCNN_PRECISION_BF16, FSCNN_RGB8, WIDTH, true, false);
    frames(FSCNN_PRECISION_BF16, FSCNN_GRAY8, WIDTH, false, true);
    frames(FSCNN_PRECISION_FP32, FSCNN_RGB8, 2 * WIDTH, false, false);
    frames(FSCNN_PRECISION_FP32, FSCNN_NV12, WIDTH, true, false);
    frames(FSCNN_PRECISION_FP32, FSCNN_I420, 2 * WIDTH - 1, false, false);
    frames(FSCNN_PRECISION_BF16, FSCNN_PLANAR_F32, WIDTH - 3, false, true);
    threads_that_do_not_start();
    if (failures) fprintf(stderr, "%d failures\n", failures);
    return failures != 0;
}
