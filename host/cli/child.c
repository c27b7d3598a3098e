// ffmpeg as a child process at the other end of a pipe.
#include "host/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/cli.h"

extern char **environ;

// `said` >= 0: where its stderr goes.
static int start(fs_child *child, const char *const *words, bool writes, int said) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    const int ours = ends[writes ? 1 : 0], theirs = ends[writes ? 0 : 1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, theirs, writes ? STDIN_FILENO : STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, writes ? STDOUT_FILENO : STDIN_FILENO, "/dev/null", O_RDWR, 0);
    if (said >= 0) posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    // We ignore SIGPIPE; a child that does too would write on when we are gone.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    // A group of its own: the terminal's Ctrl-C is for us, and we end it when its file is whole.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t id;
    const int error = posix_spawnp(&id, words[0], &actions, &attributes, (char *const *)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(theirs);
    if (error != 0) {
        close(ours);
        return error;
    }
    child->id = id, child->file = ours;
    return 0;
}

bool fs_child_start(fs_child *child, const char *const *words, bool writes) {
    *child = (fs_child){.file = -1, .said = memfd_create("ffmpeg", MFD_CLOEXEC)};
    const int error = start(child, words, writes, child->said);
    if (error == ENOENT)
        fs_complain("'%s' is not installed; install it (apt install ffmpeg), or use .y4m files, which need nothing",
                    words[0]);
    else if (error != 0)
        fs_complain("cannot run '%s': %s", words[0], strerror(error));
    return error == 0;
}

void fs_child_wait(fs_child *child) {
    if (child->id == 0) return;
    if (child->file >= 0) close(child->file);
    child->file = -1;
    siginfo_t info;
    while (waitid(P_PID, (id_t)child->id, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) continue;
}

// The first line is the cause, what follows are consequences. "[mov @ 0x55d0] moov atom not found": who says it does
// not matter, nor how we named the file.
static void first_line(int said, char *words, size_t size) {
    char line[512];
    const ssize_t length = said >= 0 ? pread(said, line, sizeof line - 1, 0) : 0;
    line[length > 0 ? length : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *from = line, *end;
    while (*from == '[' && (end = strstr(from, "] ")) != NULL) from = end + 2;
    if (strncmp(from, "file:", 5) == 0) from += 5;
    snprintf(words, size, "%s", from);
}

bool fs_child_end(fs_child *child, char *words, size_t size) {
    words[0] = '\0';
    if (child->id == 0) return true;
    fs_child_wait(child);
    int status = -1;
    while (waitpid(child->id, &status, 0) < 0 && errno == EINTR) continue;
    first_line(child->said, words, size);
    if (child->said >= 0) close(child->said);
    *child = (fs_child){.file = -1, .said = -1};
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && words[0] == '\0';
}

void fs_child_kill(const fs_child *child) {
    if (child->id != 0) kill(child->id, SIGKILL);
}

void fs_child_stop(fs_child *child) {
    char words[8];
    fs_child_kill(child);
    fs_child_end(child, words, sizeof words);
}

bool fs_child_ask(const char *const *words, char *text, size_t size) {
    fs_child child = {.file = -1, .said = memfd_create("ffprobe", MFD_CLOEXEC)};
    text[0] = '\0';
    if (start(&child, words, false, child.said) != 0) {
        if (child.said >= 0) close(child.said);
        return false;
    }
    size_t length = 0;
    for (;;) {
        char rest[256];
        const bool room = length < size - 1;
        const ssize_t n = read(child.file, room ? text + length : rest, room ? size - 1 - length : sizeof rest);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        if (room) length += (size_t)n;
    }
    text[length] = '\0';
    char complaint[8];
    return fs_child_end(&child, complaint, sizeof complaint);
}
