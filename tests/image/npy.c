// .npy files: the header byte for byte, its alignment for many shapes, what Python makes of it, and failures.
#include <criterion/criterion.h>
#include <stdint.h>

#include "tests/image/pictures.h"

TestSuite(image_npy, .init = make_folder, .fini = remove_folder);

static fs_bytes write_and_read(const float *data, const size_t *shape, int rank) {
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, shape, rank), FS_OK, "%s", fs_error_text());
    return get_file(in_folder("a.npy"));
}

Test(image_npy, bytes_of_a_small_array) {
    const float data[6] = {1.0f, -2.5f, 0.0f, 1e30f, 3.0f, 4.0f};
    fs_bytes file = write_and_read(data, (size_t[]){2, 3}, 2);
    cr_assert_eq(file.size, 128 + sizeof data);
    cr_assert(memcmp(file.data, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    cr_assert(memcmp(file.data + 10, dict, sizeof dict - 1) == 0, "%.80s", (char *)file.data + 10);
    for (size_t i = 10 + sizeof dict - 1; i < 127; i++) cr_assert_eq(file.data[i], ' ');
    cr_assert_eq(file.data[127], '\n');
    cr_assert(memcmp(file.data + 128, data, sizeof data) == 0);
    fs_free(file.data);
}

Test(image_npy, shapes_as_python_writes_tuples) {
    static const size_t shape[8] = {1, 2, 1, 3, 1, 1, 2, 1};
    static const char *const tuples[9] = {"()",
                                          "(1,)",
                                          "(1, 2)",
                                          "(1, 2, 1)",
                                          "(1, 2, 1, 3)",
                                          "(1, 2, 1, 3, 1)",
                                          "(1, 2, 1, 3, 1, 1)",
                                          "(1, 2, 1, 3, 1, 1, 2)",
                                          "(1, 2, 1, 3, 1, 1, 2, 1)"};
    const float data[12] = {0};
    for (int rank = 0; rank <= 8; rank++) {
        fs_bytes file = write_and_read(data, shape, rank);
        char *found = memmem(file.data, file.size, tuples[rank], strlen(tuples[rank]));
        cr_assert(found != NULL, "rank %d", rank);
        fs_free(file.data);
    }
}

// The header may not move the data off a multiple of 64, at any length of the shape's text.
Test(image_npy, data_is_aligned) {
    size_t shape[8] = {0};
    for (int rank = 1; rank <= 8; rank++)
        for (size_t side = 1; side < (size_t)1 << 60; side *= 9) {
            shape[rank - 1] = 0; // no elements, whatever the other sides are
            for (int i = 0; i < rank - 1; i++) shape[i] = i == 0 ? side : 1;
            fs_bytes file = write_and_read(NULL, shape, rank);
            cr_assert_eq(file.size % 64, 0);
            cr_assert_eq(10 + file.data[8] + 256u * file.data[9], file.size);
            cr_assert_eq(file.data[file.size - 1], '\n');
            fs_free(file.data);
        }
}

// Without NumPy at hand, Python's own parser reads the header and struct the data.
Test(image_npy, python_reads_it) {
    if (system("python3 -c 'pass' 2>/dev/null") != 0) cr_skip_test("no python3 here");
    const float data[6] = {0.5f, 1.5f, -2.0f, 3.0f, 4.25f, 5.0f};
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, (size_t[]){3, 2}, 2), FS_OK);
    char command[1024];
    snprintf(command, sizeof command,
             "python3 -c \"import ast,struct,sys\n"
             "b=open('%s','rb').read()\n"
             "n=struct.unpack('<H',b[8:10])[0]\n"
             "h=ast.literal_eval(b[10:10+n].decode('latin1'))\n"
             "ok=h=={'descr':'<f4','fortran_order':False,'shape':(3,2)}\n"
             "v=struct.unpack('<6f',b[10+n:])\n"
             "ok=ok and v==(0.5,1.5,-2.0,3.0,4.25,5.0)\n"
             "try:\n"
             " import numpy\n"
             " a=numpy.load('%s')\n"
             " ok=ok and a.shape==(3,2) and a[2,0]==4.25\n"
             "except ImportError:\n"
             " pass\n"
             "sys.exit(0 if ok else 1)\"",
             in_folder("a.npy"), in_folder("a.npy"));
    cr_assert_eq(system(command), 0);
}

Test(image_npy, failures_leave_the_old_file) {
    put_file(in_folder("a.npy"), "older", 5);
    const float data[1] = {0};
    const size_t huge[2] = {SIZE_MAX / 2, 4}, one[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, huge, 2), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, one, 9), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, one, -1), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), NULL, one, 1), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(in_folder("a.npy"), data, NULL, 1), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(NULL, data, one, 1), FS_ERR_ARGUMENT);
    cr_assert_eq(fs_npy_write_f32(in_folder("no/a.npy"), data, one, 1), FS_ERR_IO);
    expect_message("no/a.npy");
    fs_bytes file = get_file(in_folder("a.npy"));
    cr_assert(file.size == 5 && memcmp(file.data, "older", 5) == 0);
    fs_free(file.data);
}
