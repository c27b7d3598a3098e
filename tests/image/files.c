// Picture files on disk: round trips, names, messages, and writing that never harms what was there.
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/image/pictures.h"
#include "tests/image/png_maker.h"

TestSuite(image_files, .init = make_folder, .fini = remove_folder);

typedef struct round_trip {
    char name[16];
    int channels, tolerance;
} round_trip;

ParameterizedTestParameters(image_files, round_trips) {
    static round_trip trips[] = {
        {"a.png", 1, 0}, {"a.png", 3, 0}, {"a.png", 4, 0}, {"a.PPM", 1, 0}, {"a.ppm", 3, 0},
        {"a.ppm", 4, 0}, {"a.pgm", 1, 0}, {"a.jpg", 1, 4}, {"a.JPG", 3, 6}, {"a.jpeg", 4, 6},
    };
    return cr_make_param_array(round_trip, trips, sizeof trips / sizeof trips[0]);
}
ParameterizedTest(round_trip *trip, image_files, round_trips) {
    static const int sizes[][2] = {{1, 1}, {7, 5}, {64, 33}, {1, 200}, {301, 2}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        fs_image picture = make_picture(sizes[s][0], sizes[s][1], trip->channels, trip->tolerance > 0);
        const char *path = in_folder(trip->name);
        cr_assert_eq(fs_image_write(path, &picture), FS_OK, "%s", fs_error_text());
        int channels = trip->channels == 4 ? 4 : 3;
        bool keeps_alpha = trip->name[2] == 'p' && trip->name[3] == 'n';
        fs_image back = {0};
        cr_assert_eq(fs_image_read(path, channels, &back), FS_OK, "%s", fs_error_text());
        cr_assert(back.width == picture.width && back.height == picture.height && back.channels == channels);
        for (int i = 0; i < picture.width * picture.height; i++)
            for (int c = 0; c < channels; c++) {
                int want =
                    c == 3 && !keeps_alpha ? 255 : picture.pixels[i * trip->channels + (trip->channels == 1 ? 0 : c)];
                cr_assert_leq(abs(back.pixels[i * channels + c] - want), trip->tolerance);
            }
        fs_image_free(&back);
        fs_image_free(&picture);
    }
    cr_assert_eq(fs_mem_live_blocks(), 0);
}

Test(image_files, a_gray_png_holds_one_byte_a_pixel) {
    fs_image labels = make_picture(20, 10, 1, false);
    cr_assert_eq(fs_image_write(in_folder("labels.png"), &labels), FS_OK);
    fs_bytes file = get_file(in_folder("labels.png"));
    cr_assert_eq(file.data[24], 8);
    cr_assert_eq(file.data[25], PNG_COLOR_TYPE_GRAY);
    fs_free(file.data);
    fs_image_free(&labels);
}

Test(image_files, content_counts_and_not_the_name) {
    fs_bytes png = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    put_file(in_folder("really-a-png.jpg"), png.data, png.size);
    fs_image image = {0};
    cr_assert_eq(fs_image_read(in_folder("really-a-png.jpg"), 0, &image), FS_OK);
    fs_image_free(&image);
    fs_free(png.data);
}

Test(image_files, names) {
    cr_assert(fs_image_is_name("a.png") && fs_image_is_name("b.JPG") && fs_image_is_name("x/y.z/c.jPeG"));
    cr_assert(fs_image_is_name("d.ppm") && fs_image_is_name("e.PGM") && fs_image_is_name("/f.g.png"));
    cr_assert_not(fs_image_is_name("png") || fs_image_is_name("a.pn") || fs_image_is_name("folder.png/file"));
    cr_assert_not(fs_image_is_name("") || fs_image_is_name("a.png.txt") || fs_image_is_name(NULL));
}

static void expect_read_failure(const char *path, fs_status status, const char *part) {
    fs_image image = UNTOUCHED;
    fs_status got = fs_image_read(path, 3, &image);
    cr_assert_eq(got, status, "%s: %s", fs_status_name(got), fs_error_text());
    cr_assert(is_untouched(&image));
    cr_assert_eq(fs_mem_live_blocks(), 0);
    expect_message(path);
    expect_message(part);
}

Test(image_files, missing) {
    expect_read_failure(in_folder("missing.png"), FS_ERR_IO, "No such file");
}

Test(image_files, folder) {
    expect_read_failure(temporary_folder, FS_ERR_IO, "folder");
}

Test(image_files, path_through_a_file) {
    put_file(in_folder("file"), "x", 1);
    expect_read_failure(in_folder("file/street.png"), FS_ERR_IO, "Not a directory");
}

Test(image_files, empty) {
    put_file(in_folder("empty.png"), "", 0);
    expect_read_failure(in_folder("empty.png"), FS_ERR_FORMAT, "empty");
}

Test(image_files, another_kind) {
    put_file(in_folder("street.webp"), "RIFF\x10\0\0\0WEBPVP8 ", 16);
    expect_read_failure(in_folder("street.webp"), FS_ERR_FORMAT, "not a PNG, JPEG or PPM file; convert it first");
}

// Only the head of such a file is read: 3 GiB of nothing would otherwise be over the limit.
Test(image_files, huge_file_of_another_kind) {
    int file = open(in_folder("huge.bin"), O_CREAT | O_WRONLY, 0600);
    if (file < 0 || ftruncate(file, (off_t)3 << 30) != 0) {
        close(file);
        cr_skip_test("no sparse files here");
    }
    close(file);
    expect_read_failure(in_folder("huge.bin"), FS_ERR_FORMAT, "not a PNG");
}

Test(image_files, larger_than_the_first_read) {
    fs_image picture = make_picture(400, 300, 3, false), back = {0};
    cr_assert_eq(fs_image_write(in_folder("big.ppm"), &picture), FS_OK);
    cr_assert_eq(fs_image_read(in_folder("big.ppm"), 3, &back), FS_OK, "%s", fs_error_text());
    cr_assert(memcmp(back.pixels, picture.pixels, 400 * 300 * 3) == 0);
    fs_image_free(&back);
    fs_image_free(&picture);
}

Test(image_files, pipe) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    fs_bytes png = make_png(PNG_COLOR_TYPE_RGB, 8, false, false);
    cr_assert_eq(write(ends[1], png.data, png.size), (ssize_t)png.size);
    close(ends[1]);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    fs_image image = {0};
    cr_assert_eq(fs_image_read(path, 3, &image), FS_OK, "%s", fs_error_text());
    cr_assert_eq(image.width, MADE_W);
    close(ends[0]);
    fs_image_free(&image);
    fs_free(png.data);
}

static void expect_write_failure(const char *path, const fs_image *picture, fs_status status, const char *part) {
    size_t live = fs_mem_live_blocks();
    fs_status got = fs_image_write(path, picture);
    cr_assert_eq(got, status, "%s: %s", fs_status_name(got), fs_error_text());
    cr_assert_eq(fs_mem_live_blocks(), live);
    expect_message(path);
    expect_message(part);
}

Test(image_files, unwritable_targets) {
    fs_image picture = make_picture(3, 2, 3, false);
    put_file(in_folder("file"), "x", 1);
    expect_write_failure(in_folder("file/out.png"), &picture, FS_ERR_IO, "Not a directory");
    expect_write_failure(in_folder("nowhere/out.png"), &picture, FS_ERR_IO, "No such file");
    expect_write_failure("/proc/out.png", &picture, FS_ERR_IO, "cannot write");
    cr_assert_eq(mkdir(in_folder("folder.png"), 0700), 0);
    expect_write_failure(in_folder("folder.png"), &picture, FS_ERR_IO, "folder");
    fs_image_free(&picture);
}

Test(image_files, unknown_extension) {
    fs_image picture = make_picture(3, 2, 3, false);
    expect_write_failure(in_folder("out.webp"), &picture, FS_ERR_ARGUMENT, ".png");
    expect_write_failure(in_folder("out"), &picture, FS_ERR_ARGUMENT, ".png");
    expect_write_failure(in_folder("colour.pgm"), &picture, FS_ERR_ARGUMENT, "gray");
    cr_assert_neq(access(in_folder("out.webp"), F_OK), 0);
    fs_image_free(&picture);
}

Test(image_files, impossible_pictures) {
    uint8_t pixels[64] = {0};
    const fs_image bad[] = {
        {2, 2, 2, pixels}, {0, 2, 3, pixels}, {2, -1, 3, pixels}, {2, 2, 3, NULL}, {16385, 1, 1, pixels}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_write_failure(in_folder("bad.png"), &bad[i], FS_ERR_ARGUMENT, "");
    cr_assert_neq(access(in_folder("bad.png"), F_OK), 0);
}

static int count_entries(void) {
    int count = 0;
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | wc -l", temporary_folder);
    FILE *listing = popen(command, "r");
    cr_assert(listing != NULL && fscanf(listing, "%d", &count) == 1);
    pclose(listing);
    return count;
}

// The disk fills up half way: the older file survives whole, and nothing is left beside it.
Test(image_files, old_file_survives_a_failed_write) {
    put_file(in_folder("out.ppm"), "older", 5);
    fs_image picture = make_picture(200, 100, 3, false);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 10000, .rlim_max = old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    expect_write_failure(in_folder("out.ppm"), &picture, FS_ERR_IO, strerror(EFBIG));
    expect_write_failure(in_folder("new.ppm"), &picture, FS_ERR_IO, strerror(EFBIG));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    fs_bytes file = get_file(in_folder("out.ppm"));
    cr_assert(file.size == 5 && memcmp(file.data, "older", 5) == 0);
    cr_assert_eq(count_entries(), 1);
    fs_free(file.data);
    fs_image_free(&picture);
}

Test(image_files, replaces_an_older_file) {
    put_file(in_folder("out.png"), "older", 5);
    fs_image picture = make_picture(5, 5, 3, false), back = {0};
    cr_assert_eq(fs_image_write(in_folder("out.png"), &picture), FS_OK);
    cr_assert_eq(fs_image_read(in_folder("out.png"), 3, &back), FS_OK);
    cr_assert_eq(count_entries(), 1);
    fs_image_free(&back);
    fs_image_free(&picture);
}

Test(image_files, mode_obeys_the_umask) {
    fs_image picture = make_picture(5, 5, 3, false);
    mode_t old = umask(027);
    cr_assert_eq(fs_image_write(in_folder("out.png"), &picture), FS_OK);
    umask(old);
    struct stat info;
    cr_assert_eq(stat(in_folder("out.png"), &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0640);
    fs_image_free(&picture);
}

Test(image_files, link_is_followed_and_kept) {
    put_file(in_folder("target.png"), "older", 5);
    cr_assert_eq(symlink("target.png", in_folder("link.png")), 0);
    fs_image picture = make_picture(5, 5, 3, false), back = {0};
    cr_assert_eq(fs_image_write(in_folder("link.png"), &picture), FS_OK, "%s", fs_error_text());
    struct stat info;
    cr_assert(lstat(in_folder("link.png"), &info) == 0 && S_ISLNK(info.st_mode));
    cr_assert_eq(fs_image_read(in_folder("target.png"), 3, &back), FS_OK);
    fs_image_free(&back);
    fs_image_free(&picture);
}

// What is no regular file must be written to and never be replaced by one. Only special files of the test's own are
// used: run as root, a mistake here would otherwise replace a device of the machine.
Test(image_files, pipe_is_written_to_and_kept) {
    cr_assert_eq(mkfifo(in_folder("pipe.ppm"), 0600), 0);
    int reader = open(in_folder("pipe.ppm"), O_RDONLY | O_NONBLOCK);
    cr_assert_geq(reader, 0);
    fs_image picture = make_picture(5, 5, 3, false);
    cr_assert_eq(fs_image_write(in_folder("pipe.ppm"), &picture), FS_OK, "%s", fs_error_text());
    char bytes[256];
    cr_assert_eq(read(reader, bytes, sizeof bytes), 11 + 5 * 5 * 3); // "P6\n5 5\n255\n" and the pixels
    close(reader);
    struct stat info;
    cr_assert(lstat(in_folder("pipe.ppm"), &info) == 0 && S_ISFIFO(info.st_mode));
    fs_image_free(&picture);
}

Test(image_files, socket_is_refused_and_kept) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket.png", temporary_folder);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(server >= 0 && bind(server, (const struct sockaddr *)&address, sizeof address) == 0);
    fs_image picture = make_picture(5, 5, 3, false);
    expect_write_failure(in_folder("socket.png"), &picture, FS_ERR_IO, "cannot write");
    struct stat info;
    cr_assert(lstat(in_folder("socket.png"), &info) == 0 && S_ISSOCK(info.st_mode));
    close(server);
    fs_image_free(&picture);
}

Test(image_files, longest_name) {
    char name[256];
    memset(name, 'x', 255);
    strcpy(name + 251, ".png");
    fs_image picture = make_picture(5, 5, 3, false);
    cr_assert_eq(fs_image_write(in_folder(name), &picture), FS_OK, "%s", fs_error_text());
    fs_image_free(&picture);
}

Test(image_files, relative_name) {
    cr_assert_eq(chdir(temporary_folder), 0);
    fs_image picture = make_picture(5, 5, 3, false);
    cr_assert_eq(fs_image_write("here.png", &picture), FS_OK, "%s", fs_error_text());
    cr_assert_eq(access(in_folder("here.png"), R_OK), 0);
    cr_assert_eq(count_entries(), 1);
    fs_image_free(&picture);
}

Test(image_files, bad_arguments) {
    fs_image image = UNTOUCHED;
    cr_assert_eq(fs_image_read(NULL, 3, &image), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_read("a.png", 3, NULL), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_write(NULL, &image), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_write("a.png", NULL), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_decode(NULL, 5, "x", 3, &image), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_image_decode("x", 1, NULL, 3, &image), FS_ERR_FORMAT);
    static const int channels[] = {-1, 1, 2, 5};
    for (int i = 0; i < 4; i++) expect_failure("P6 1 1 255\nabc", 14, channels[i], FS_ERR_ARGUMENT);
    cr_assert(is_untouched(&image));
    fs_image_free(NULL);
}
