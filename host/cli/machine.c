// Reads the facts of the machine from /proc and /sys.
#include "host/cli/machine.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { CORES_MAX = 4096 };

static FILE *open_below(const char *root, const char *name) {
    char path[512];
    if ((size_t)snprintf(path, sizeof path, "%s%s", root, name) >= sizeof path) return NULL;
    return fopen(path, "r");
}

// First line of a file without its end; false when there is none.
static bool first_line(const char *root, const char *name, char *text, int size) {
    FILE *file = open_below(root, name);
    if (file == NULL) return false;
    bool fine = fgets(text, size, file) != NULL;
    fclose(file);
    if (fine) text[strcspn(text, "\n")] = '\0';
    return fine && text[0] != '\0';
}

// The value of "name   : value", or NULL when the line has another name.
static char *value_of(char *line, const char *name) {
    const size_t length = strlen(name);
    if (strncmp(line, name, length) != 0) return NULL;
    char *colon = line + length + strspn(line + length, " \t");
    if (*colon != ':') return NULL;
    colon += 1 + strspn(colon + 1, " \t");
    colon[strcspn(colon, "\n")] = '\0';
    return colon;
}

static void read_cpuinfo(const char *root, fs_machine *m) {
    FILE *file = open_below(root, "/proc/cpuinfo");
    if (file == NULL) return;
    static int known[CORES_MAX][2]; // (package, core) of the cores seen
    char line[4096];
    int package = 0, clocks = 0;
    double sum = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *value;
        if (value_of(line, "processor") != NULL) {
            m->processors++;
        } else if ((value = value_of(line, "model name")) != NULL) {
            if (m->cpu[0] == '\0') snprintf(m->cpu, sizeof m->cpu, "%s", value);
        } else if ((value = value_of(line, "physical id")) != NULL) {
            package = atoi(value);
        } else if ((value = value_of(line, "core id")) != NULL) {
            const int core = atoi(value);
            int i = 0;
            while (i < m->cores && (known[i][0] != package || known[i][1] != core)) i++;
            if (i == m->cores && i < CORES_MAX) known[i][0] = package, known[i][1] = core, m->cores++;
        } else if ((value = value_of(line, "cpu MHz")) != NULL) {
            sum += strtod(value, NULL);
            clocks++;
        }
    }
    fclose(file);
    if (clocks > 0) m->mhz = sum / clocks;
}

// A whole number of kHz as MHz, 0 when there is none.
static double read_khz(const char *root, int processor, const char *name) {
    char path[128], text[64];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/%s", processor, name);
    return first_line(root, path, text, sizeof text) ? strtod(text, NULL) / 1000 : 0;
}

// cpufreq's own clocks are fresher than /proc/cpuinfo's, which some kernels fill with the nominal one.
static double cpufreq_mhz(const char *root) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < CORES_MAX; i++) {
        const double mhz = read_khz(root, i, "scaling_cur_freq");
        if (mhz <= 0) break;
        sum += mhz;
        count++;
    }
    return count > 0 ? sum / count : 0;
}

double fs_machine_mhz(const char *root) {
    const double mhz = cpufreq_mhz(root);
    if (mhz > 0) return mhz;
    fs_machine machine = {.cpu = ""};
    read_cpuinfo(root, &machine);
    return machine.mhz;
}

static double busy_seconds(const char *root) {
    char line[512];
    if (!first_line(root, "/proc/stat", line, sizeof line)) return -1;
    double user, nice, system, irq, softirq, steal; // without idle and iowait; guests are part of user
    if (sscanf(line, "cpu %lf %lf %lf %*f %*f %lf %lf %lf", &user, &nice, &system, &irq, &softirq, &steal) != 6)
        return -1;
    return (user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
}

static double clock_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

fs_moment fs_machine_moment(const char *root) {
    return (fs_moment){busy_seconds(root), clock_seconds(CLOCK_PROCESS_CPUTIME_ID), clock_seconds(CLOCK_MONOTONIC)};
}

double fs_machine_others(fs_moment from, fs_moment to) {
    const double shortest = 0.2; // the system counts in ticks of some milliseconds, for each processor
    if (from.busy < 0 || to.busy < 0 || to.at - from.at < shortest) return -1;
    return fmax(0, to.busy - from.busy - (to.own - from.own)) / (to.at - from.at);
}

static double load_now(void) {
    double load;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

static uint64_t memory_of(const char *root) {
    char text[128];
    if (!first_line(root, "/proc/meminfo", text, sizeof text)) return 0;
    const char *value = value_of(text, "MemTotal");
    return value != NULL ? strtoull(value, NULL, 10) * 1024 : 0;
}

void fs_machine_read(const char *root, fs_machine *m) {
    *m = (fs_machine){.load = load_now(), .memory_bytes = memory_of(root)};
    read_cpuinfo(root, m);
    const double mhz = cpufreq_mhz(root);
    if (mhz > 0) m->mhz = mhz;
    m->mhz_max = read_khz(root, 0, "cpuinfo_max_freq");
    char governor[sizeof m->governor];
    if (first_line(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor))
        memcpy(m->governor, governor, sizeof governor);
    cpu_set_t set;
    m->usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : m->processors;
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(m->system, sizeof m->system, "%.40s %.80s %.30s", name.sysname, name.release, name.machine);
}

void fs_machine_describe(const fs_machine *m, char *what, char *clocks, size_t size) {
    char cores[48] = "", now[48] = "clock unknown", highest[48] = "highest unknown";
    if (m->cores > 0) snprintf(cores, sizeof cores, " on %d cores", m->cores);
    if (m->mhz > 0) snprintf(now, sizeof now, "%.0f MHz now", m->mhz);
    if (m->mhz_max > 0) snprintf(highest, sizeof highest, "%.0f MHz at most", m->mhz_max);
    snprintf(what, size, "%s, %d processors%s, %d usable; %.0f MiB; %s", m->cpu[0] != '\0' ? m->cpu : "unknown",
             m->processors, cores, m->usable, (double)m->memory_bytes / 1048576, m->system);
    snprintf(clocks, size, "%s, %s, governor %s; load %.2f", now, highest,
             m->governor[0] != '\0' ? m->governor : "unknown", m->load);
}

static void known_number(fs_text *json, const char *key, double value) {
    if (value > 0)
        fs_json_number(json, key, value);
    else
        fs_json_string(json, key, NULL);
}

void fs_machine_json(fs_text *json, const char *key, const fs_machine *m) {
    fs_json_open(json, key, '{');
    fs_json_string(json, "cpu", m->cpu[0] != '\0' ? m->cpu : NULL);
    fs_json_integer(json, "processors", m->processors);
    fs_json_integer(json, "cores", m->cores);
    fs_json_integer(json, "usable", m->usable);
    known_number(json, "mhz", m->mhz);
    known_number(json, "mhz_max", m->mhz_max);
    fs_json_string(json, "governor", m->governor[0] != '\0' ? m->governor : NULL);
    fs_json_string(json, "system", m->system[0] != '\0' ? m->system : NULL);
    fs_json_integer(json, "memory_bytes", (int64_t)m->memory_bytes);
    fs_json_close(json, '}');
}
