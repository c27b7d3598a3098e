// What `segment` reads videos from and writes them to: Y4M, with ffmpeg at the other end of a pipe for the rest.
#include "host/cli/video_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/cli.h"
#include "host/cli/video.h"
#include "host/image/codec.h"
#include "runtime/base/mem.h"

// ---- Names ----------------------------------------------------------------------------------------------------------

// Known at once; of other files ffprobe is asked.
static const char *const containers[] = {".y4m", ".mp4",  ".mkv",  ".mov",  ".avi",   ".webm", ".m4v",
                                         ".mpg", ".mpeg", ".ts",   ".mts",  ".m2ts",  ".wmv",  ".flv",
                                         ".ogv", ".3gp",  ".h264", ".hevc", ".mjpeg", ".gif",  NULL};

static bool ends_in(const char *path, const char *const *endings) {
    for (int i = 0; endings[i]; i++)
        if (fs_name_ends(path, endings[i])) return true;
    return false;
}

static bool is_y4m(const char *path) {
    return strcmp(path, "-") == 0 || fs_name_ends(path, ".y4m");
}

bool fs_video_has_ending(const char *path) {
    return ends_in(path, containers);
}

// ffmpeg takes anything of the form "name:..." for a protocol and "-name" for an option.
static void file_url(const char *path, char url[PATH_MAX + 8]) {
    snprintf(url, PATH_MAX + 8, "file:%s", path);
}

// The value of "key=value" on a line of its own, or "".
static const char *value_of(const char *text, const char *key, char value[64]) {
    value[0] = '\0';
    const size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, length) != 0 || line[length] != '=') continue;
        snprintf(value, 64, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
        break;
    }
    return value;
}

// Whether ffprobe finds a video where neither the ending nor the first bytes tell. It takes any picture and any text
// (as a terminal's) for a video as well.
static bool is_probed(const char *path) {
    char url[PATH_MAX + 8], text[1024], format[64], kind[64];
    struct stat status;
    if (fs_image_is_name(path) || stat(path, &status) != 0 || !S_ISREG(status.st_mode)) return false;
    uint8_t head[FS_KIND_HEAD];
    size_t got = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    const bool read = file >= 0 && fs_stream_read(file, path, head, sizeof head, &got) == FS_OK;
    if (file >= 0) close(file);
    if (!read || fs_image_detect(head, got) != FS_KIND_UNKNOWN) return false;
    file_url(path, url);
    const char *const words[] = {"ffprobe",
                                 "-v",
                                 "error",
                                 "-select_streams",
                                 "v:0",
                                 "-show_entries",
                                 "format=format_name:stream=codec_type",
                                 "-of",
                                 "default=noprint_wrappers=1",
                                 url,
                                 NULL};
    fs_child_ask(words, text, sizeof text);
    value_of(text, "format_name", format);
    return strcmp(value_of(text, "codec_type", kind), "video") == 0 && strcmp(format, "tty") != 0 &&
           strncmp(format, "image2", 6) != 0 && strstr(format, "_pipe") == NULL;
}

bool fs_video_is_name(const char *path) {
    return strcmp(path, "-") == 0 || ends_in(path, containers) || is_probed(path);
}

bool fs_video_check_name(fs_kind kind, const char *path) {
    static const char *const lossless[] = {".y4m", ".mkv", NULL}, *const lossy[] = {".y4m", ".mp4", ".mkv",  ".mov",
                                                                                    ".m4v", ".avi", ".webm", NULL};
    if (kind == FS_KIND_LOGITS) {
        fs_usage("segment", "option '--logits' is for pictures; a video's scores would be %s",
                 "hundreds of megabytes a frame");
        return false;
    }
    if (strcmp(path, "-") == 0 || ends_in(path, kind == FS_KIND_LABELS ? lossless : lossy)) return true;
    if (kind == FS_KIND_LABELS)
        fs_usage("segment", "labels of a video are written without loss, as .y4m or .mkv, but '%s' ends otherwise",
                 path);
    else
        fs_usage("segment",
                 "a video is written as .mp4, .mkv, .mov, .m4v, .avi, .webm or .y4m, but '%s' ends otherwise", path);
    return false;
}

char *fs_video_name(const char *in, fs_kind kind, const char *folder) {
    static const char *const kinds[FS_KINDS] = {"_labels", "_overlay", "_color", "_logits"};
    const char *slash = strrchr(in, '/'), *name = slash ? slash + 1 : in, *dot = strrchr(name, '.');
    int length = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    if (strcmp(in, "-") == 0) name = "video", length = 5;
    const char *ending = is_y4m(in) ? ".y4m" : kind == FS_KIND_LABELS ? ".mkv" : ".mp4";
    const size_t size = (folder ? strlen(folder) : 0) + (size_t)length + 32;
    char *path = fs_malloc(size, 1);
    if (path)
        snprintf(path, size, "%s%s%.*s%s%s", folder ? folder : "", folder ? "/" : "", length, name, kinds[kind],
                 ending);
    return path;
}

// ---- Where frames come from -----------------------------------------------------------------------------------------

typedef struct probe {
    uint64_t frames; // 0: unknown
    bool bt709;      // the matrix to read it by
    char rate[64];   // mean frames per second as a fraction, "": unknown
    char filter[96]; // what ffmpeg must convert to get there, "": nothing
} probe;

static probe probe_file(const char *url) {
    const char *const words[] = {"ffprobe",
                                 "-v",
                                 "error",
                                 "-select_streams",
                                 "v:0",
                                 "-count_packets",
                                 "-show_entries",
                                 "stream=height,pix_fmt,color_space,avg_frame_rate,nb_read_packets",
                                 "-of",
                                 "default=noprint_wrappers=1",
                                 url,
                                 NULL};
    char text[1024], value[64], space[64];
    probe found = {0};
    if (fs_child_ask(words, text, sizeof text))
        found.frames = strtoull(value_of(text, "nb_read_packets", value), NULL, 10);
    int rate = 0, scale = 0;
    if (sscanf(value_of(text, "avg_frame_rate", value), "%d/%d", &rate, &scale) == 2 && rate > 0 && scale > 0)
        snprintf(found.rate, sizeof found.rate, "%d/%d", rate, scale);
    const int height = atoi(value_of(text, "height", value));
    value_of(text, "color_space", space);
    const bool bt601 = strcmp(space, "smpte170m") == 0 || strcmp(space, "bt470bg") == 0 || strcmp(space, "fcc") == 0;
    const bool other = strncmp(space, "bt2020", 6) == 0;
    found.bt709 = strcmp(space, "bt709") == 0 || (!bt601 && height >= 720);
    // ffmpeg makes RGB to BT.601 unless told otherwise.
    value_of(text, "pix_fmt", value);
    const bool rgb = strstr(value, "rgb") || strstr(value, "bgr") || strstr(value, "gbr") || strstr(value, "pal8");
    if (rgb || other)
        snprintf(found.filter, sizeof found.filter, "scale=%sout_color_matrix=%s:out_range=tv",
                 rgb ? "" : "in_color_matrix=bt2020:", found.bt709 ? "bt709" : "bt601");
    return found;
}

static bool start_decoder(fs_video_source *s, const char *path) {
    char url[PATH_MAX + 8];
    file_url(path, url);
    const probe found = probe_file(url);
    // -xerror: a damaged stream ends there instead of being patched up. A rate on the input makes ffmpeg count frames
    // rather than go by their times: else it would repeat and drop them to get a constant rate.
    const char *words[24] = {"ffmpeg", "-v", "error", "-nostdin", "-xerror"};
    int n = 5;
    if (found.rate[0]) words[n++] = "-r", words[n++] = found.rate;
    words[n++] = "-i", words[n++] = url, words[n++] = "-map", words[n++] = "0:v:0";
    if (found.filter[0]) words[n++] = "-vf", words[n++] = found.filter;
    words[n++] = "-f", words[n++] = "yuv4mpegpipe", words[n++] = "-pix_fmt", words[n++] = "yuv420p", words[n++] = "-";
    s->frames = found.frames;
    s->y4m.bt709 = found.bt709;
    if (!fs_child_start(&s->decoder, words, false)) return false;
    s->file = s->decoder.file;
    return true;
}

static bool read_header(fs_video_source *s, const char *path) {
    const bool bt709 = s->y4m.bt709, decoded = s->decoder.id != 0;
    const fs_status status = fs_y4m_read_header(s->file, s->name, &s->y4m);
    if (status == FS_OK && decoded) s->y4m.bt709 = bt709;
    if (status == FS_OK) return true;
    char words[512] = "";
    if (decoded && status == FS_ERR_FORMAT) fs_child_end(&s->decoder, words, sizeof words);
    if (words[0])
        fs_complain("%s: ffmpeg finds no video in it: %s", path, words);
    else
        fs_complain("%s", fs_error_text());
    return false;
}

bool fs_video_source_open(fs_video_source *s, const char *path) {
    const bool pipe = strcmp(path, "-") == 0;
    *s = (fs_video_source){.name = pipe ? "standard input" : path, .decoder = {.file = -1, .said = -1}, .file = -1};
    struct stat status;
    if (!pipe && stat(path, &status) != 0) {
        fs_complain("cannot open '%s': %s", path, strerror(errno));
        return false;
    }
    if (pipe) {
        s->file = STDIN_FILENO;
    } else if (is_y4m(path)) {
        s->file = open(path, O_RDONLY | O_CLOEXEC);
        if (s->file < 0) {
            fs_complain("cannot open '%s': %s", path, strerror(errno));
            return false;
        }
    } else if (!start_decoder(s, path)) {
        return false;
    }
    if (!read_header(s, path)) return false;
    if (!pipe && s->decoder.id == 0 && S_ISREG(status.st_mode))
        s->frames = ((uint64_t)status.st_size - s->y4m.header_bytes) / (s->y4m.frame_bytes + 6);
    return true;
}

bool fs_video_source_close(fs_video_source *s, bool stop) {
    bool fine = true;
    char words[512];
    if (s->decoder.id != 0 && stop) {
        fs_child_stop(&s->decoder);
    } else if (s->decoder.id != 0) {
        fine = fs_child_end(&s->decoder, words, sizeof words);
        if (!fine) fs_complain("%s: the stream is damaged%s%s", s->name, words[0] ? ": " : "", words);
    } else if (s->file > STDIN_FILENO) {
        close(s->file);
    }
    s->file = -1;
    return fine;
}

// ---- Where they go --------------------------------------------------------------------------------------------------

// A container by the ending of the name given, whatever a link's target is called.
static const char *format_of(const char *path) {
    static const char *const known[][2] = {{".mp4", "mp4"},  {".mkv", "matroska"}, {".mov", "mov"},
                                           {".m4v", "ipod"}, {".avi", "avi"},      {".webm", "webm"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (fs_name_ends(path, known[i][0])) return known[i][1];
    return "matroska";
}

static bool start_encoder(fs_video_sink *s, bool gray) {
    char url[PATH_MAX + 8], here[64], filter[256];
    // What is written straight into is ours by a number; a program finds it by this name.
    snprintf(here, sizeof here, "/proc/%ld/fd/%d", (long)getpid(), s->out.file);
    file_url(s->out.part[0] ? s->out.part : here, url);
    const char *const matrix = s->y4m.bt709 ? "bt709" : "smpte170m";
    // Players take 4:2:0 alone, and that needs even sides.
    snprintf(filter, sizeof filter,
             "pad=ceil(iw/2)*2:ceil(ih/2)*2,setparams=range=tv:color_primaries=%s:color_trc=%s:colorspace=%s", matrix,
             matrix, matrix);
    const char *words[40] = {"ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "yuv4mpegpipe", "-i", "-"};
    const char *const lossless[] = {"-c:v", "ffv1", NULL};
    const char *const tagged[] = {
        "-vf",  filter,       "-pix_fmt", "yuv420p",      "-colorspace", matrix, "-color_primaries",
        matrix, "-color_trc", matrix,     "-color_range", "tv",          NULL};
    int n = 9;
    for (const char *const *more = gray ? lossless : tagged; *more; more++) words[n++] = *more;
    words[n++] = "-f", words[n++] = format_of(s->path), words[n++] = url;
    return fs_child_start(&s->encoder, words, true);
}

bool fs_video_sink_open(fs_video_sink *s, bool gray, const char *path, const fs_y4m *like) {
    *s = (fs_video_sink){.path = path, .encoder = {.file = -1, .said = -1}, .file = -1, .out = {.file = -1}};
    if (path == NULL) return true;
    s->y4m = fs_y4m_describe(like->width, like->height, like->rate, like->scale, gray);
    s->y4m.aspect_x = like->aspect_x, s->y4m.aspect_y = like->aspect_y;
    const bool pipe = strcmp(path, "-") == 0;
    if (!pipe && fs_writer_open(&s->out, path) != FS_OK) {
        fs_complain("%s", fs_error_text());
        return false;
    }
    if (!is_y4m(path) && !start_encoder(s, gray)) return false;
    s->file = s->encoder.id != 0 ? s->encoder.file : pipe ? STDOUT_FILENO : s->out.file;
    if (!gray) s->planes = fs_malloc(s->y4m.frame_bytes, 1);
    if (!gray && s->planes == NULL) {
        fs_complain("%s: out of memory", path);
        return false;
    }
    if (fs_y4m_write_header(s->file, path, &s->y4m) == FS_OK) return true;
    fs_complain("%s", fs_error_text());
    return false;
}

bool fs_video_sink_put(fs_video_sink *s, const uint8_t *pixels) {
    if (s->planes) fs_y4m_from_rgb(&s->y4m, pixels, s->planes);
    if (fs_y4m_write_frame(s->file, s->path, &s->y4m, s->planes ? s->planes : pixels) == FS_OK) {
        s->frames++;
        return true;
    }
    s->failed = true;
    if (s->encoder.id == 0) fs_complain("%s", fs_error_text()); // what ffmpeg says is the cause, once it has ended
    return false;
}

void fs_video_sink_finish(fs_video_sink *s) {
    if (s->frames == 0 && !s->failed) fs_child_kill(&s->encoder);
    fs_child_wait(&s->encoder);
}

bool fs_video_sink_close(fs_video_sink *s) {
    if (s->path == NULL) return true;
    char words[512];
    const bool encoded = fs_child_end(&s->encoder, words, sizeof words);
    bool fine = s->frames > 0 && !s->failed && encoded;
    if (s->failed || (s->frames > 0 && !encoded)) {
        if (words[0] || !encoded)
            fs_complain("cannot write '%s': ffmpeg: %s", s->path, words[0] ? words : "it ended without a word");
        if (s->out.part[0]) fs_complain("'%s' is left as it was", s->path);
    }
    if (fs_writer_close(&s->out, s->path, fine) != FS_OK) {
        fs_complain("%s", fs_error_text());
        fine = false;
    }
    fs_free(s->planes);
    s->planes = NULL;
    s->kept = fine;
    return fine;
}
