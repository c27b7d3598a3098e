// Runs frames against the clock: one after the other, several in flight, or at a given rate as a camera does.
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "host/cli/bench.h"
#include "host/cli/progress.h"
#include "runtime/base/mem.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

// What a pass over frames needs.
typedef struct pass {
    const fs_bench *bench;
    fs_bench_run *run;
    fscnn_session *session;
    const fs_workload *work;
    double seconds; // at most
    size_t frames;  // at most; 0: no limit but the time
    bool keep;      // samples
    fs_progress *progress;
} pass;

static bool keep_sample(fs_bench_run *run, fs_sample sample) {
    if (run->count == run->capacity) {
        const size_t more = run->capacity == 0 ? 4096 : 2 * run->capacity;
        fs_sample *grown = fs_grow(run->samples, run->count * sizeof *grown, more, sizeof *grown);
        if (grown == NULL) {
            fs_complain("out of memory for the samples; use a shorter --duration");
            return false;
        }
        run->samples = grown;
        run->capacity = more;
    }
    run->samples[run->count++] = sample;
    return true;
}

static bool submit(const pass *p, uint64_t number, uint64_t *ticket) {
    fscnn_frame frame;
    fscnn_outputs outputs;
    fs_workload_bind(p->work, number, &frame, &outputs);
    return fscnn_submit(p->session, &frame, &outputs, ticket) == FSCNN_OK;
}

static bool frame_failed(uint64_t number) {
    fs_complain("frame %llu: %s", (unsigned long long)(number + 1), fscnn_error());
    return false;
}

// Whether frame `number`, counted from 0, is still to be started `elapsed` seconds after the beginning.
static bool wanted(const pass *p, uint64_t number, double elapsed) {
    if (interrupted != 0) return false;
    return p->frames > 0 ? number < p->frames : elapsed < p->seconds;
}

static bool finished(const pass *p, fs_sample sample, double elapsed) {
    if (p->progress != NULL) fs_progress_update(p->progress, (uint64_t)(1e3 * fmin(elapsed, p->seconds)));
    return !p->keep || keep_sample(p->run, sample);
}

// Keeps in_flight frames going, and runs at least one. Latency is from before submit to after wait. With one frame in
// flight this is latency mode.
static bool drive_closed(const pass *p) {
    uint64_t ticket[FS_OUTPUTS_MAX];
    double started[FS_OUTPUTS_MAX];
    uint64_t in = 0, out = 0, depth = (uint64_t)p->bench->in_flight;
    double begin = fs_seconds(), now = begin;
    bool more = true;
    do {
        while (more && in - out < depth) {
            started[in % depth] = fs_seconds();
            if (!submit(p, in, &ticket[in % depth])) return frame_failed(in);
            in++;
            more = wanted(p, in, fs_seconds() - begin);
        }
        if (fscnn_wait(p->session, ticket[out % depth], -1) != FSCNN_OK) return frame_failed(out);
        now = fs_seconds();
        const double start = started[out % depth];
        if (!finished(p, (fs_sample){.begin = start - begin, .latency = 1e3 * (now - start)}, now - begin))
            return false;
        out++;
        more = more && wanted(p, in, now - begin);
    } while (more || in > out);
    p->run->seconds = now - begin;
    return true;
}

// Sleeps until `moment` of fs_seconds; Ctrl-C wakes it.
static void sleep_until(double moment) {
    struct timespec at = {.tv_sec = (time_t)moment};
    at.tv_nsec = (long)(1e9 * (moment - (double)at.tv_sec));
    while (interrupted == 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

// Frame n is due at n / rate, like a camera's, whatever became of the one before: waiting for a slow frame shows in the
// times of the next. A frame whose successor is due before it could start is dropped, as the camera overwrites it.
static bool drive_paced(const pass *p) {
    const double period = 1 / p->bench->rate, begin = fs_seconds() + 1e-3;
    double now = begin;
    uint64_t due_number = 0;
    double periods = 0; // from the first frame's due moment to the end of the last one's period
    for (uint64_t number = 0;; number++) {
        const double due = begin + (double)due_number * period;
        fs_sample sample = {.wake = NAN};
        if (fs_seconds() < due) {
            sleep_until(due);
            sample.wake = 1e3 * (fs_seconds() - due);
            if (interrupted != 0) break;
        }
        const double start = fs_seconds();
        uint64_t ticket;
        if (!submit(p, number, &ticket) || fscnn_wait(p->session, ticket, -1) != FSCNN_OK) return frame_failed(number);
        now = fs_seconds();
        sample.begin = start - begin, sample.latency = 1e3 * (now - start), sample.start = 1e3 * (start - due);
        if (!finished(p, sample, now - begin)) return false;
        periods = (double)(due_number + 1);
        // The last frame that is due already, at least the next.
        const uint64_t last_due = (uint64_t)((now - begin) / period), next = due_number + 1;
        due_number = last_due > next ? last_due : next;
        const bool more = wanted(p, number + 1, (double)due_number * period);
        if (p->keep && (more || p->frames == 0))
            for (uint64_t n = next; n < due_number && (p->frames > 0 || (double)n * period < p->seconds); n++)
                p->run->dropped++;
        if (!more) break;
    }
    // The last frame's period counts whole, else n frames would fill n - 1 periods: more than the camera sends.
    p->run->seconds = fmax(now - begin, periods * period);
    return true;
}

static bool drive(const pass *p) {
    return p->bench->mode == FS_BENCH_PACED ? drive_paced(p) : drive_closed(p);
}

// What a profiler records is the measurement alone, without opening and warming up.
static bool window(const fs_bench *bench, int on) {
    if (!bench->profile_window || fscnn_engine_profiler_window(bench->model.engine, on) == FSCNN_OK) return true;
    fs_complain("option '--profile-window': %s", fscnn_error());
    return false;
}

static int summarise(const fs_bench *bench, fs_bench_run *run) {
    double *values = fs_malloc(run->count, sizeof *values);
    if (values == NULL) {
        fs_complain("out of memory for the statistics; use a shorter --duration");
        return FS_EXIT_FAILED;
    }
    for (size_t i = 0; i < run->count; i++) values[i] = run->samples[i].latency;
    fs_stats_take(values, run->count, &run->latency);
    if (bench->mode == FS_BENCH_PACED) {
        size_t slept = 0;
        for (size_t i = 0; i < run->count; i++)
            if (!isnan(run->samples[i].wake)) values[slept++] = run->samples[i].wake;
        fs_stats_take(values, slept, &run->wake);
        for (size_t i = 0; i < run->count; i++) values[i] = run->samples[i].start;
        fs_stats_take(values, run->count, &run->start);
        for (size_t i = 0; i < run->count; i++) {
            values[i] = run->samples[i].start + run->samples[i].latency;
            run->missed += values[i] * bench->rate > 1e3;
        }
        fs_stats_take(values, run->count, &run->finish);
    }
    fs_free(values);
    return FS_EXIT_OK;
}

int fs_bench_measure(fs_bench *bench, fs_bench_run *run, fscnn_session *session, const fs_workload *work) {
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = (int)SA_RESETHAND}; // a second Ctrl-C ends at once
    struct sigaction before;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &before);
    fs_progress progress;
    fs_progress_start(&progress, "warming up, ms", (uint64_t)(1e3 * bench->warmup), bench->quiet);
    pass p = {.bench = bench, .run = run, .session = session, .work = work, .progress = &progress};
    p.seconds = bench->warmup;
    bool fine = bench->warmup <= 0 || drive(&p);
    char text[96];
    if (bench->frames > 0)
        snprintf(text, sizeof text, "measuring %d frames of %dx%d", bench->frames, run->size.height, run->size.width);
    else
        snprintf(text, sizeof text, "measuring %dx%d for %g s", run->size.height, run->size.width, bench->duration);
    fs_progress_say(&progress, text); // redrawing would disturb what is measured
    if (fine && interrupted == 0) {
        p.seconds = bench->duration, p.frames = (size_t)bench->frames, p.keep = true, p.progress = NULL;
        run->mhz[0] = fs_machine_mhz("");
        const fs_moment start = fs_machine_moment("");
        fine = window(bench, 1) && drive(&p) && window(bench, 0);
        run->others = fs_machine_others(start, fs_machine_moment(""));
        run->mhz[1] = fs_machine_mhz("");
    }
    fs_progress_clear(&progress);
    sigaction(SIGINT, &before, NULL);
    run->interrupted = interrupted != 0;
    if (!fine) return FS_EXIT_FAILED;
    if (run->count == 0) {
        fs_complain("interrupted before the first measured frame");
        return FS_EXIT_FAILED;
    }
    return summarise(bench, run);
}
