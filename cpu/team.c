// Worker threads, task counters and barriers on atomics and futexes.
#include "cpu/team.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"

enum { SPINS = 6000 }; // about 50 us before a waiter sleeps

typedef struct phase_state {
    _Alignas(64) atomic_int next;
    _Alignas(64) atomic_uint arrived;
    atomic_int sleepers;
} phase_state;

// A counter that threads wait on.
typedef struct signal_word {
    _Alignas(64) atomic_uint value;
    atomic_int sleepers;
} signal_word;

struct fs_team {
    int threads, started;
    int spins;
    fs_team_frame_fn frame;
    void *user;
    signal_word submitted, completed; // low 32 bits of tickets
    atomic_bool closing;
    phase_state phase[2][FS_TEAM_PHASES]; // frames alternate: one set is cleared while the other runs
    pthread_t thread[FS_TEAM_THREADS];
    struct start {
        fs_team *team;
        int worker;
    } start[FS_TEAM_THREADS];
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static long futex_wait(atomic_uint *word, unsigned seen, const struct timespec *timeout) {
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0);
}

static void signal_raise(signal_word *s, unsigned value) {
    atomic_store(&s->value, value);
    if (atomic_load(&s->sleepers) > 0) syscall(SYS_futex, &s->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

// Whether `value` has reached `target`, counting modulo 2^32.
static bool reached(unsigned value, unsigned target) {
    return (int32_t)(value - target) >= 0;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Waits until the word reaches `target` or the deadline passes (negative: never).
static bool signal_wait(signal_word *s, unsigned target, int spins, int64_t timeout_ns) {
    for (int i = 0; i < spins; i++) {
        if (reached(atomic_load_explicit(&s->value, memory_order_acquire), target)) return true;
        relax();
    }
    const int64_t began = now_ns();
    const int64_t deadline = timeout_ns < 0 || timeout_ns > INT64_MAX - began ? -1 : began + timeout_ns;
    for (;;) {
        unsigned seen = atomic_load(&s->value);
        if (reached(seen, target)) return true;
        struct timespec left = {0};
        if (deadline >= 0) {
            const int64_t ns = deadline - now_ns();
            if (ns <= 0) return false;
            left.tv_sec = ns / 1000000000, left.tv_nsec = ns % 1000000000;
        }
        atomic_fetch_add(&s->sleepers, 1);
        futex_wait(&s->value, seen, deadline >= 0 ? &left : NULL);
        atomic_fetch_sub(&s->sleepers, 1);
    }
}

int fs_team_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        const int n = CPU_COUNT(&set);
        if (n > 0) return n < FS_TEAM_THREADS ? n : FS_TEAM_THREADS;
    }
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > FS_TEAM_THREADS ? FS_TEAM_THREADS : (int)n;
}

static void *work(void *argument) {
    struct start *start = argument;
    fs_team *team = start->team;
    for (uint64_t ticket = 1;; ticket++) {
        // A short spin keeps back-to-back frames quick; between frames of a camera the workers sleep.
        signal_wait(&team->submitted, (unsigned)ticket, team->spins / 8, -1);
        if (atomic_load(&team->closing)) return NULL;
        team->frame(team->user, start->worker, ticket);
        if (start->worker == 0) signal_raise(&team->completed, (unsigned)ticket);
    }
}

fs_status fs_team_open(int threads, fs_team_frame_fn frame, void *user, fs_team **out) {
    fs_team *team = fs_calloc(1, sizeof *team);
    if (team == NULL) return fs_fail(FS_ERR_MEMORY, "out of memory for worker threads");
    team->threads = threads, team->frame = frame, team->user = user;
    team->spins = threads <= fs_team_cores() ? SPINS : 0;
    // Workers take no signals: those are the application's, and its threads' to handle.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    for (; team->started < threads; team->started++) {
        const int i = team->started;
        team->start[i] = (struct start){team, i};
        error = pthread_create(&team->thread[i], NULL, work, &team->start[i]);
        if (error) break;
        char name[16]; // what a profiler or `top -H` shows
        snprintf(name, sizeof name, "fscnn-%d", i & 0xff);
        pthread_setname_np(team->thread[i], name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        fs_team_close(team);
        return fs_fail(FS_ERR_SYSTEM, "cannot start %d worker threads: %s; ask for fewer", threads, strerror(error));
    }
    *out = team;
    return FS_OK;
}

void fs_team_close(fs_team *team) {
    if (team == NULL) return;
    const unsigned last = atomic_load(&team->submitted.value);
    if (team->started == team->threads) signal_wait(&team->completed, last, 0, -1);
    atomic_store(&team->closing, true);
    signal_raise(&team->submitted, last + 1);
    for (int i = 0; i < team->started; i++) pthread_join(team->thread[i], NULL);
    fs_free(team);
}

int fs_team_threads(const fs_team *team) {
    return team->threads;
}

void fs_team_submit(fs_team *team, uint64_t ticket) {
    signal_raise(&team->submitted, (unsigned)ticket);
}

int fs_team_wait(fs_team *team, uint64_t ticket, int64_t timeout_ns) {
    return signal_wait(&team->completed, (unsigned)ticket, 0, timeout_ns);
}

int fs_team_take(fs_team *team, uint64_t ticket, int phase, int tasks) {
    const int task = atomic_fetch_add_explicit(&team->phase[ticket & 1][phase].next, 1, memory_order_relaxed);
    return task < tasks ? task : -1;
}

void fs_team_barrier(fs_team *team, uint64_t ticket, int phase) {
    phase_state *p = &team->phase[ticket & 1][phase];
    const unsigned all = (unsigned)team->threads;
    if (atomic_fetch_add(&p->arrived, 1) + 1 == all) {
        if (atomic_load(&p->sleepers) > 0)
            syscall(SYS_futex, &p->arrived, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
        if (phase == 0) // everyone has left the frame before: its counters can be cleared for the one after
            for (int i = 0; i < FS_TEAM_PHASES; i++) {
                phase_state *old = &team->phase[~ticket & 1][i];
                atomic_store_explicit(&old->next, 0, memory_order_relaxed);
                atomic_store_explicit(&old->arrived, 0, memory_order_relaxed);
            }
        return;
    }
    for (int i = 0; i < team->spins; i++) {
        if (atomic_load_explicit(&p->arrived, memory_order_acquire) == all) return;
        relax();
    }
    for (;;) {
        const unsigned seen = atomic_load(&p->arrived);
        if (seen == all) return;
        atomic_fetch_add(&p->sleepers, 1);
        futex_wait(&p->arrived, seen, NULL);
        atomic_fetch_sub(&p->sleepers, 1);
    }
}
