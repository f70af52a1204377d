/*
 * Sections 4 and 5: .npy files, atomic writes, CIFAR-10 records, their
 * normalisation, the built-in set.  Every refusal must name the file.
 */
#include "common.h"
#include <sys/resource.h>

/* --- A folder of the test's own --- */

static char data_folder[] = "/tmp/eos-test-XXXXXX";
static char names[40][sizeof data_folder + 40];
static size_t name_count;

/* The path of a file in the folder, which is made when first asked for. */
static const char *data_path(const char *name)
{
    char *path = names[name_count++];

    cr_assert(name_count <= sizeof names / sizeof *names, "too many names");
    if (name_count == 1)
        cr_assert(mkdtemp(data_folder) != NULL, "%s: %s", data_folder,
                  strerror(errno));
    snprintf(path, sizeof *names, "%s/%s", data_folder, name);
    return path;
}

static void clean_up(void)
{
    size_t i;

    for (i = 0; i < name_count; i++)
        if (unlink(names[i]))
            rmdir(names[i]);
    cr_assert(name_count == 0 || rmdir(data_folder) == 0,
              "%s: files are left: %s", data_folder, strerror(errno));
}

static void put_file(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    cr_assert(fd >= 0 && write_all(fd, bytes, n) == 0, "%s: %s", path,
              strerror(errno));
    close(fd);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* --- .npy --- */

enum { N_MAX = 2000 };
static double x[N_MAX], y[N_MAX + 1];

/* A .npy file of n values of `size` bytes under any header. */
static void save_npy(const char *path, int version, const char *header,
                     size_t n, int size, const double *values)
{
    static unsigned char bytes[8 * N_MAX + 4096];
    const bool wide = version == 2 || version == 3;
    size_t at = wide ? 12 : 10, len = strlen(header), i;

    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[7] = 0;
    put_le(bytes + 8, len, wide ? 4 : 2);
    memcpy(bytes + at, header, len);
    for (at += len, i = 0; i < n; i++, at += (size_t)size) {
        float f = (float)values[i];
        uint64_t word = 0;
        uint32_t narrow;

        memcpy(&narrow, &f, sizeof f);
        memcpy(&word, &values[i], sizeof word);
        put_le(bytes + at, size == 8 ? word : narrow, size);
    }
    put_file(path, bytes, at);
}

#define HEADER(descr, order, shape)                                      \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape \
    ", }          \n"

static const char good_header[] = HEADER("<f8", "False", "(5,)");

/* npy_read refuses the file as bad input, and says so by its name and with
 * the words given. */
static void refuses_npy(const char *path, const char *words)
{
    int status;

    failure[0] = 0;
    status = npy_read(path, 5, y);
    cr_assert(status == EOS_USAGE, "%s: status %d (%s)", words, status,
              failure);
    cr_assert(!strncmp(failure, path, strlen(path)) &&
                  failure[strlen(path)] == ':',
              "the message is: %s", failure);
    cr_assert(strstr(failure, words) != NULL, "\"%s\" is not in: %s", words,
              failure);
    cr_assert(!strchr(failure, '\n'), "more than one line: %s", failure);
}

Test(npy, what_is_written_is_read)
{
    static const size_t lengths[] = {0, 1, 5, 511, 512, 513, N_MAX};
    const char *path = data_path("vector.npy");
    size_t i, n, at;

    random_vector(1, N_MAX, x);
    x[0] = -0.0;
    x[1] = 0x1p-1074;
    x[2] = DBL_MAX;
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        n = lengths[i];
        y[n] = 77;
        cr_assert(npy_write(path, n, x) == EOS_DONE, "%s", failure);
        cr_assert(npy_read(path, n, y) == EOS_DONE, "%s", failure);
        at = first_difference(n, x, y);
        cr_assert(at == n, "n = %zu: element %zu is %a, not %a", n, at, y[at],
                  x[at]);
        cr_assert(y[n] == 77, "n = %zu: read beyond", n);
    }
    clean_up();
}

/* What numpy.save writes, byte for byte. */
Test(npy, layout_is_numpy_s)
{
    static const double values[] = {1, -2.5};
    unsigned char found[200],
        wanted[200] =
            "\x93NUMPY\x01\x00\x76\x00"
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
    const char *path = data_path("two.npy");
    size_t len = 10 + strlen((char *)wanted + 10);
    int fd;

    memset(wanted + len, ' ', 127 - len);
    wanted[127] = '\n';
    memcpy(wanted + 128, "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\x04\xc0", 16);
    cr_assert(npy_write(path, 2, values) == EOS_DONE, "%s", failure);
    fd = open(path, O_RDONLY);
    cr_assert(read_all(fd, found, sizeof found) == 144, "not 144 bytes");
    close(fd);
    cr_assert(!memcmp(found, wanted, 144), "header: %.117s", found + 10);
    clean_up();
}

static void reads_five(const char *path, double tolerance)
{
    size_t i;

    cr_assert(npy_read(path, 5, y) == EOS_DONE, "%s", failure);
    for (i = 0; i < 5; i++)
        cr_assert(fabs(y[i] - x[i]) <= tolerance, "element %zu: %g, not %g", i,
                  y[i], x[i]);
}

Test(npy, both_formats_and_both_widths_are_read)
{
    const char *path = data_path("five.npy");

    random_vector(2, 5, x);
    save_npy(path, 1, good_header, 5, 8, x);
    reads_five(path, 0);
    save_npy(path, 2, good_header, 5, 8, x);
    reads_five(path, 0);
    save_npy(path, 1, HEADER("<f4", "False", "(5,)"), 5, 4, x);
    reads_five(path, 0x1p-25);
    save_npy(path, 2, HEADER("<f4", "False", "(5,)"), 5, 4, x);
    reads_five(path, 0x1p-25);
    clean_up();
}

Test(npy, other_elements_orders_and_shapes_are_refused)
{
    static const struct {
        const char *header, *words;
    } table[] = {
        {HEADER("<i4", "False", "(5,)"), "'<i4'"},
        {HEADER("<i8", "False", "(5,)"), "'<i8'"},
        {HEADER(">f8", "False", "(5,)"), "'>f8'"},
        {HEADER(">f4", "False", "(5,)"), "'>f4'"},
        {HEADER("<f2", "False", "(5,)"), "'<f2'"},
        {HEADER("<f16", "False", "(5,)"), "'<f16'"},
        {HEADER("<c16", "False", "(5,)"), "'<c16'"},
        {HEADER("|O", "False", "(5,)"), "'|O'"},
        {HEADER("<f8", "False", "(5, 1)"), "shape (5, 1); (5,) is wanted"},
        {HEADER("<f8", "False", "(1, 5)"), "shape (1, 5)"},
        {HEADER("<f8", "False", "()"), "shape ()"},
        {HEADER("<f8", "False", "(4,)"), "shape (4,)"},
        {HEADER("<f8", "False", "(6,)"), "shape (6,)"},
        {HEADER("<f8", "False", "(55,)"), "shape (55,)"},
        {HEADER("<f8", "False", "(-5,)"), "shape (-5,)"},
        {HEADER("<f8", "False", "(18446744073709551621,)"), "shape (1844"},
        {HEADER("<f8", "False", "(5"), "shape (5"},
        {"{'descr': '<f8', 'fortran_order': False, }\n", "shape"},
        {"{'fortran_order': False, 'shape': (5,), }\n", "elements"},
        {"\n", "elements"},
        {"", "elements"},
    };
    const char *path = data_path("other.npy");
    size_t i;

    random_vector(3, 5, x);
    for (i = 0; i < sizeof table / sizeof *table; i++) {
        save_npy(path, 1, table[i].header, 5, 8, x);
        refuses_npy(path, table[i].words);
    }
    clean_up();
}

Test(npy, other_formats_are_refused)
{
    static char long_header[5000];
    const char *path = data_path("other.npy");

    save_npy(path, 4, good_header, 5, 8, x);
    refuses_npy(path, "format 4.0");
    save_npy(path, 0, good_header, 5, 8, x);
    refuses_npy(path, "format 0.0");
    memset(long_header, ' ', sizeof long_header - 1);
    save_npy(path, 1, long_header, 0, 8, x);
    refuses_npy(path, "4999");
    put_file(path, "\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
    refuses_npy(path, "4294967295");
    put_file(path, "\x93NUMPX\x01\x00\x0a\x00 long enough", 22);
    refuses_npy(path, "not a .npy file");
    put_file(path, "P5 32 32 255\n and the pixels", 28);
    refuses_npy(path, "not a .npy file");
    clean_up();
}

/* A good file cut after every one of its bytes. */
Test(npy, a_file_cut_anywhere_is_refused)
{
    static unsigned char bytes[4096];
    const char *path = data_path("cut.npy");
    int version;

    random_vector(4, 5, x);
    for (version = 1; version <= 2; version++) {
        ssize_t whole, n;
        int fd;

        save_npy(path, version, good_header, 5, 8, x);
        fd = open(path, O_RDONLY);
        whole = read_all(fd, bytes, sizeof bytes);
        close(fd);
        for (n = 0; n < whole; n++) {
            put_file(path, bytes, (size_t)n);
            refuses_npy(path, n < 10 ? "not a .npy" : "cut short");
        }
        bytes[whole] = 0;
        put_file(path, bytes, (size_t)whole + 1);
        refuses_npy(path, "goes on after its 5 elements");
    }
    clean_up();
}

/* Any bit of the preamble or the header flipped, or all of a byte: the same
 * numbers are read, or none. */
Test(npy, a_damaged_header_changes_no_number)
{
    static unsigned char good[128 + 8 * 5 + 1], bad[sizeof good];
    const char *path = data_path("flipped.npy");
    size_t at, read = 0, refused = 0;
    int bit, fd;

    random_vector(9, 5, x);
    cr_assert(npy_write(path, 5, x) == EOS_DONE, "%s", failure);
    fd = open(path, O_RDONLY);
    cr_assert(read_all(fd, good, sizeof good) == 168, "not 168 bytes");
    close(fd);
    for (at = 0; at < 128; at++)
        for (bit = 0; bit < 9; bit++) {
            memcpy(bad, good, sizeof bad);
            bad[at] = (unsigned char)(bad[at] ^ (bit < 8 ? 1 << bit : 0xff));
            put_file(path, bad, 168);
            if (npy_read(path, 5, y) == EOS_DONE) {
                cr_assert(first_difference(5, x, y) == 5,
                          "byte %zu, bit %d: other numbers", at, bit);
                read++;
            } else {
                refuses_npy(path, "");
                refused++;
            }
        }
    cr_assert(read > 500 && refused > 250, "%zu read, %zu refused", read,
              refused);
    clean_up();
}

Test(npy, numbers_that_are_not_finite_are_refused)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    const char *path = data_path("bad.npy");
    char words[40];
    size_t i, at;

    for (at = 0; at < 5; at++)
        for (i = 0; i < 3; i++) {
            random_vector(5, 5, x);
            x[at] = bad[i];
            snprintf(words, sizeof words, "element %zu is not finite", at);
            save_npy(path, 1, good_header, 5, 8, x);
            refuses_npy(path, words);
            save_npy(path, 1, HEADER("<f4", "False", "(5,)"), 5, 4, x);
            refuses_npy(path, words);
        }
    clean_up();
}

Test(npy, what_is_no_file_is_refused)
{
    refuses_npy(data_path("missing.npy"), "No such file");
    refuses_npy("/dev/null", "not a .npy file");
    refuses_npy(data_folder, "");
    clean_up();
}

/* --- Files that appear when they are whole --- */

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0, "%s", strerror(errno));
}

static void names_the_file(int status, const char *path)
{
    cr_assert(status == EOS_FAILED, "status %d (%s)", status, failure);
    cr_assert(!strncmp(failure, path, strlen(path)), "the message is: %s",
              failure);
}

/* Where the disk is full (a limit stands in for it) neither the file nor
 * what was begun of it is left. */
Test(whole, a_failed_write_leaves_nothing)
{
    const char *path = data_path("new.npy"), *beside = data_path("new.npy.tmp");
    size_t limit;

    for (limit = 0; limit < 8 * N_MAX + 128; limit += 1000) {
        limit_file_size(limit);
        names_the_file(npy_write(path, N_MAX, x), path);
        cr_assert(strstr(failure, "cannot write") != NULL, "%s", failure);
        cr_assert(!exists(path), "limit %zu: a file is there", limit);
        cr_assert(!exists(beside), "limit %zu: %s is left", limit, beside);
    }
    limit_file_size(8 * N_MAX + 128);
    cr_assert(npy_write(path, N_MAX, x) == EOS_DONE, "%s", failure);
    limit_file_size(RLIM_INFINITY);
    clean_up();
}

Test(whole, a_failed_write_leaves_the_old_file_alone)
{
    const char *path = data_path("old.npy"), *beside = data_path("old.npy.tmp");

    random_vector(6, N_MAX, x);
    cr_assert(npy_write(path, 5, x) == EOS_DONE, "%s", failure);
    limit_file_size(500);
    names_the_file(npy_write(path, N_MAX, x), path);
    limit_file_size(RLIM_INFINITY);
    reads_five(path, 0);
    cr_assert(!exists(beside), "%s is left", beside);
    clean_up();
}

Test(whole, a_name_that_cannot_be_is_a_failure)
{
    static char long_name[2 * PATH];
    const char *path = data_path("no/such/folder.npy");
    const char *taken = data_path("taken"), *beside = data_path("taken.tmp");

    names_the_file(npy_write(path, 5, x), path);
    cr_assert(strstr(failure, "cannot create") != NULL, "%s", failure);
    cr_assert(mkdir(taken, 0777) == 0, "%s", strerror(errno));
    names_the_file(npy_write(taken, 5, x), taken);
    cr_assert(strstr(failure, "cannot rename") != NULL, "%s", failure);
    cr_assert(!exists(beside), "%s is left", beside);
    memset(long_name, 'a', sizeof long_name - 1);
    cr_assert(npy_write(long_name, 5, x) == EOS_FAILED, "a long name");
    cr_assert(strstr(failure, "too long") != NULL, "%s", failure);
    clean_up();
}

Test(whole, the_name_appears_only_at_the_end)
{
    static struct whole file;
    const char *path = data_path("late"), *beside = data_path("late.tmp");

    cr_assert(whole_open(&file, path) == EOS_DONE, "%s", failure);
    cr_assert(whole_write(&file, "half", 4) == EOS_DONE, "%s", failure);
    cr_assert(!exists(path) && exists(beside), "before the end");
    cr_assert(whole_close(&file) == EOS_DONE, "%s", failure);
    cr_assert(exists(path) && !exists(beside), "after the end");
    clean_up();
}

/* --- Text --- */

Test(text, long_texts_arrive_whole_and_errors_stick)
{
    static struct text t;
    static char found[200000];
    const char *path = data_path("text");
    char wanted[20];
    int i;

    t.name = path;
    t.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    for (i = 0; i < 10000; i++)
        text_put(&t, "line %7d\n", i);
    cr_assert(text_check(&t) == EOS_DONE, "%s", failure);
    lseek(t.fd, 0, SEEK_SET);
    cr_assert(read_all(t.fd, found, sizeof found) == 130000, "its length");
    for (i = 0; i < 10000; i++) {
        snprintf(wanted, sizeof wanted, "line %7d\n", i);
        cr_assert(!strncmp(found + 13 * i, wanted, 13), "line %d", i);
    }
    close(t.fd);
    t.fd = open(path, O_RDONLY); /* every write fails from here       */
    for (i = 0; i < 10000; i++)
        text_put(&t, "line %7d\n", i);
    names_the_file(text_check(&t), path);
    close(t.fd);
    t.fd = -1; /* nowhere: no error                 */
    t.error = 0;
    text_put(&t, "line\n");
    cr_assert(text_check(&t) == EOS_DONE, "%s", failure);
    clean_up();
}

/* --- CIFAR-10 files --- */

enum { RECORDS = 120 };
static unsigned char records[RECORDS][RECORD];

/* Records whose labels go round and whose bytes are random; the last file
 * of a test set is drawn from another seed. */
static void draw_records(uint64_t seed)
{
    size_t i, j;

    for (i = 0; i < RECORDS; i++) {
        records[i][0] = (unsigned char)(i % CLASSES);
        for (j = 1; j < RECORD; j++)
            records[i][j] = (unsigned char)(rng_next(&seed) >> 56);
    }
}

/* Records first .. first + n - 1 as a file. */
static const char *save_records(const char *name, size_t first, size_t n)
{
    const char *path = data_path(name);

    put_file(path, records[first], n * RECORD);
    return path;
}

static int load(enum eos_model model, enum eos_loss loss, size_t samples)
{
    config.model = model;
    config.loss = loss;
    config.samples = samples;
    failure[0] = 0;
    room_clear();
    data_room();
    return data_load();
}

static void refuses_data(const char *path, const char *words)
{
    int status = load(EOS_MLP, EOS_MSE, 10);

    cr_assert(status == EOS_USAGE, "\"%s\": status %d (%s)", words, status,
              failure);
    cr_assert(!strncmp(failure, path, strlen(path)) &&
                  failure[strlen(path)] == ':',
              "the message is: %s", failure);
    cr_assert(strstr(failure, words) != NULL, "\"%s\" is not in: %s", words,
              failure);
}

/* Image i of the set is the record: planes to HWC, rows and columns (of a
 * test set what its model reads). */
static void holds_record(const struct set *s, size_t i,
                         const unsigned char *record, int label)
{
    size_t px, py, c;

    cr_assert(s->label[i] == label, "image %zu has label %d, not %d", i,
              s->label[i], label);
    for (py = 0; py < 32; py++)
        for (px = 0; px < 32; px++)
            for (c = 0; c < 3; c++) {
                int byte = record[1 + c * 1024 + py * 32 + px];
                size_t at = (py * 32 + px) * 3 + c;

                cr_assert(s->rows[i][at] == byte,
                          "image %zu, pixel %zu %zu, "
                          "channel %zu: %d, not %d",
                          i, py, px, c, s->rows[i][at], byte);
            }
}

static void files_are_read_in_order(enum eos_model model)
{
    size_t i;

    draw_records(1);
    config.data[0] = save_records("one", 0, 40);
    config.data[1] = save_records("two", 40, 1);
    config.data[2] = save_records("three", 41, 79);
    config.ndata = 3;
    cr_assert(load(model, EOS_CE, RECORDS) == EOS_DONE, "%s", failure);
    cr_assert(train.n == RECORDS, "%zu records", train.n);
    for (i = 0; i < RECORDS; i++)
        holds_record(&train, i, records[i], records[i][0]);
    cr_assert(load(model, EOS_CE, 50) == EOS_DONE, "%s", failure);
    cr_assert(train.n == 50, "%zu records", train.n);
    for (i = 0; i < 50; i++)
        holds_record(&train, i, records[i], records[i][0]);
    clean_up();
}

Test(data, files_are_read_in_order_for_the_mlp)
{
    files_are_read_in_order(EOS_MLP);
}

Test(data, files_are_read_in_order_for_the_cnn)
{
    files_are_read_in_order(EOS_CNN);
}

static void cats_come_first_then_dogs(enum eos_loss loss)
{
    size_t cats = 0, dogs = 0, i;

    draw_records(2);
    for (i = 0; i < RECORDS; i++) /* more dogs, and they come first    */
        records[i][0] = i % 3 == 0 ? DOG : i % 5 == 0 ? CAT : 7;
    config.data[0] = save_records("one", 0, 33);
    config.data[1] = save_records("two", 33, RECORDS - 33);
    config.ndata = 2;
    cr_assert(load(EOS_MLP, loss, 12) == EOS_DONE, "%s", failure);
    cr_assert(train.n == 12, "%zu records", train.n);
    for (i = 0; cats < 6 || dogs < 6; i++)
        if (records[i][0] == CAT && cats < 6)
            holds_record(&train, cats++, records[i], 0);
        else if (records[i][0] == DOG && dogs < 6)
            holds_record(&train, 6 + dogs++, records[i], 1);
    config.test = config.data[0]; /* a test set keeps its own order    */
    cr_assert(load(EOS_MLP, loss, 12) == EOS_DONE, "%s", failure);
    for (i = 0, cats = 0; i < 33; i++)
        if (records[i][0] != 7)
            holds_record(&test, cats++, records[i], records[i][0] == DOG);
    cr_assert(test.n == cats, "%zu test records, not %zu", test.n, cats);
    clean_up();
}

Test(data, bmse_takes_cats_first_then_dogs)
{
    cats_come_first_then_dogs(EOS_BMSE);
}

Test(data, logistic_takes_cats_first_then_dogs)
{
    cats_come_first_then_dogs(EOS_LOGISTIC);
}

Test(data, too_few_cats_or_dogs_are_refused)
{
    draw_records(3);   /* 12 cats and 12 dogs               */
    records[3][0] = 0; /* 11 cats                           */
    config.data[0] = save_records("one", 0, RECORDS);
    config.ndata = 1;
    cr_assert(load(EOS_MLP, EOS_BMSE, 22) == EOS_DONE, "%s", failure);
    cr_assert(load(EOS_MLP, EOS_BMSE, 24) == EOS_USAGE, "24 of 22 were found");
    cr_assert(!strncmp(failure, names[0], strlen(names[0])) &&
                  strstr(failure, "11 cats and 12 dogs"),
              "%s", failure);
    cr_assert(strstr(failure, "at most --samples 22") != NULL, "%s", failure);
    clean_up();
}

Test(data, too_few_records_are_refused)
{
    draw_records(4);
    config.data[0] = save_records("one", 0, 30);
    config.data[1] = save_records("two", 30, 30);
    config.ndata = 2;
    cr_assert(load(EOS_MLP, EOS_MSE, 60) == EOS_DONE, "%s", failure);
    cr_assert(load(EOS_MLP, EOS_MSE, 61) == EOS_USAGE, "61 of 60 were found");
    cr_assert(strstr(failure, "60 records") != NULL, "%s", failure);
    clean_up();
}

Test(data, files_that_hold_no_records_are_refused)
{
    draw_records(5);
    config.ndata = 1;
    config.data[0] = data_path("missing");
    refuses_data(config.data[0], "No such file");
    config.data[0] = data_path("empty");
    put_file(config.data[0], "", 0);
    refuses_data(config.data[0], "0 bytes");
    config.data[0] = data_path("truncated");
    put_file(config.data[0], records, 20 * RECORD - 1);
    refuses_data(config.data[0], "61459 bytes, not a multiple of the 3073");
    put_file(config.data[0], records, 20 * RECORD + 1);
    refuses_data(config.data[0], "61461 bytes");
    config.data[0] = "/dev/null";
    refuses_data(config.data[0], "ends within a record");
    config.data[0] = data_folder;
    refuses_data(config.data[0], "cannot read");
    config.ndata = 2; /* also where none is needed */
    config.data[0] = save_records("enough", 0, 60);
    config.data[1] = data_folder;
    refuses_data(config.data[1], "cannot read");
    clean_up();
}

Test(data, a_label_above_9_is_refused)
{
    draw_records(6);
    config.ndata = 1;
    config.data[0] = data_path("labels");
    records[7][0] = 10;
    put_file(config.data[0], records, 20 * RECORD);
    refuses_data(config.data[0], "record 7 has label 10");
    records[7][0] = 255;
    put_file(config.data[0], records, 20 * RECORD);
    refuses_data(config.data[0], "record 7 has label 255");
    records[7][0] = 9;
    records[60][0] = 10; /* in the second of two buffers      */
    put_file(config.data[0], records, RECORDS * RECORD);
    cr_assert(load(EOS_MLP, EOS_MSE, 60) == EOS_DONE, "%s", failure);
    cr_assert(load(EOS_MLP, EOS_MSE, 61) == EOS_USAGE, "record 60 was taken");
    cr_assert(strstr(failure, "record 60 has label 10") != NULL, "%s", failure);
    clean_up();
}

/* What is given and cannot be read is a bad argument, needed or not. */
Test(data, files_that_are_not_needed_are_checked_too)
{
    draw_records(7);
    config.ndata = 2;
    config.data[0] = save_records("one", 0, 30);
    config.data[1] = data_path("missing");
    refuses_data(config.data[1], "No such file");
    config.data[1] = data_path("truncated");
    put_file(config.data[1], records, 100);
    refuses_data(config.data[1], "100 bytes");
    clean_up();
}

Test(data, a_bad_test_set_is_refused)
{
    draw_records(8);
    config.ndata = 1;
    config.data[0] = save_records("one", 0, 30);
    config.test = data_path("missing");
    refuses_data(config.test, "No such file");
    config.test = data_path("truncated");
    put_file(config.test, records, 100);
    refuses_data(config.test, "100 bytes");
    config.test = save_records("no cat", 0, 3);
    cr_assert(load(EOS_MLP, EOS_BMSE, 4) == EOS_USAGE,
              "a test set without cats, dogs");
    cr_assert(strstr(failure, "no cat or dog") != NULL, "%s", failure);
    clean_up();
}

/* --- Normalisation --- */

static void normalisation_matches_plain_loops(enum eos_loss loss, size_t n)
{
    size_t i, at, c, count = n * 1024;

    cr_assert(load(EOS_MLP, loss, n) == EOS_DONE, "%s", failure);
    for (c = 0; c < 3; c++) {
        long double mean = 0, variance = 0, std;

        for (i = 0; i < n; i++)
            for (at = 0; at < 1024; at++)
                mean += train.rows[i][3 * at + c];
        mean /= count;
        for (i = 0; i < n; i++)
            for (at = 0; at < 1024; at++)
                variance += (train.rows[i][3 * at + c] - mean) *
                            (train.rows[i][3 * at + c] - mean);
        std = sqrtl(variance / count);
        cr_assert(fabsl(data_mean[c] - mean) <= 1e-13L * mean,
                  "mean %.17g, not %.17Lg", data_mean[c], mean);
        cr_assert(fabsl(data_inverse_std[c] * std - 1) <= 1e-12L,
                  "1/std %.17g, not %.17Lg", data_inverse_std[c], 1 / std);
        for (at = c; at < TILE; at += 3)
            cr_assert(norm.mean.f64[at] == data_mean[c] &&
                          norm.inverse_std.f64[at] == data_inverse_std[c] &&
                          norm.mean.f32[at] == (float)data_mean[c] &&
                          norm.inverse_std.f32[at] ==
                              (float)data_inverse_std[c],
                      "channel %zu at %zu", c, at);
    }
}

/* Channels of different level and spread: one can tell them apart. */
Test(data, normalisation_is_by_channel)
{
    size_t i, j;

    draw_records(9);
    for (i = 0; i < RECORDS; i++)
        for (j = 1; j <= 1024; j++) {
            records[i][j] = (unsigned char)(200 + records[i][j] / 8);
            records[i][1024 + j] /= 3;
        }
    config.ndata = 1;
    config.data[0] = save_records("one", 0, RECORDS);
    normalisation_matches_plain_loops(EOS_MSE, RECORDS);
    normalisation_matches_plain_loops(EOS_CE, 1);
    normalisation_matches_plain_loops(EOS_LOGISTIC, 8);
    clean_up();
}

/* Of two classes: records of others are none that did not fit. */
Test(data, a_set_of_two_classes_is_full_before_others_come)
{
    struct filling f = {&test, 4, .hash = HASH_START};
    size_t i;

    draw_records(15);
    for (i = 0; i < 8; i++)
        records[i][0] = i % 2 ? DOG : CAT;
    records[4][0] = records[5][0] = 9;
    config.ndata = 1;
    config.data[0] = save_records("one", 0, 4);
    config.test = save_records("two", 0, 6);
    cr_assert(load(EOS_MLP, EOS_BMSE, 4) == EOS_DONE, "%s", failure);
    test.n = 0;
    cr_assert(data_read(&f, config.test) == EOS_DONE, "%s", failure);
    cr_assert(test.n == 4 && !f.more, "%zu, more: %d", test.n, f.more);
    config.test = save_records("three", 0, 7);
    test.n = 0;
    cr_assert(data_read(&f, config.test) == EOS_DONE, "%s", failure);
    cr_assert(test.n == 4 && f.more, "%zu, more: %d", test.n, f.more);
    clean_up();
}

/* The test set does not enter the statistics. */
Test(data, the_test_set_is_normalised_by_the_training_set)
{
    double before[CHANNELS];

    draw_records(10);
    config.ndata = 1;
    config.data[0] = save_records("one", 0, 20);
    cr_assert(load(EOS_MLP, EOS_MSE, 20) == EOS_DONE, "%s", failure);
    memcpy(before, data_mean, sizeof before);
    config.test = save_records("two", 20, 100);
    cr_assert(load(EOS_MLP, EOS_MSE, 20) == EOS_DONE, "%s", failure);
    cr_assert(test.n == 100, "%zu test records", test.n);
    holds_record(&test, 99, records[119], 9);
    cr_assert(!memcmp(before, data_mean, sizeof before), "the mean moved");
    clean_up();
}

Test(data, a_channel_without_variance_is_refused)
{
    size_t c, i;

    config.ndata = 1;
    config.data[0] = data_path("flat");
    for (c = 0; c < 3; c++) {
        draw_records(11);
        for (i = 0; i < 20; i++)
            memset(records[i] + 1 + 1024 * c, 201, 1024);
        put_file(config.data[0], records, 20 * RECORD);
        refuses_data(config.data[0], "cannot be normalised");
        records[3][1 + 1024 * c + 5] = 202; /* one pixel is enough       */
        put_file(config.data[0], records, 20 * RECORD);
        cr_assert(load(EOS_MLP, EOS_MSE, 20) == EOS_DONE, "%s", failure);
    }
    clean_up();
}

Test(data, the_hash_tells_images_labels_and_their_order)
{
    uint64_t seen[4];
    size_t i, j;

    draw_records(12);
    config.ndata = 1;
    config.data[0] = data_path("one");
    for (i = 0; i < 4; i++) {
        unsigned char swap[RECORD];

        if (i == 1)
            records[4][0] = 5;
        if (i == 2)
            records[9][3072] ^= 1;
        if (i == 3) {
            memcpy(swap, records[0], RECORD);
            memcpy(records[0], records[1], RECORD);
            memcpy(records[1], swap, RECORD);
        }
        put_file(config.data[0], records, 10 * RECORD);
        cr_assert(load(EOS_CNN, EOS_MSE, 10) == EOS_DONE, "%s", failure);
        seen[i] = data_hash;
        for (j = 0; j < i; j++)
            cr_assert(seen[i] != seen[j], "change %zu goes unseen", i);
        cr_assert(load(EOS_MLP, EOS_CE, 10) == EOS_DONE, "%s", failure);
        cr_assert(data_hash == seen[i], "the model changes the hash");
    }
    clean_up();
}

/* --- The built-in set --- */

Test(synthetic, a_line_is_its_inverse_fourier_transform)
{
    static double re[3 * SIDE], im[3 * SIDE];
    double complex from[3 * SIDE], to[SIDE];
    long double angle, r, m;
    size_t stride, n, k;

    synth_start();
    random_vector(1, 3 * SIDE, re);
    random_vector(2, 3 * SIDE, im);
    for (k = 0; k < 3 * SIDE; k++)
        from[k] = re[k] + im[k] * I;
    for (stride = 1; stride <= 3; stride += 2) {
        synth_line(from, stride, SIDE, to);
        for (n = 0; n < SIDE; n++) {
            for (r = m = 0, k = 0; k < SIDE; k++) {
                angle = 2 * acosl(-1) * (k * n % SIDE) / SIDE;
                r +=
                    re[k * stride] * cosl(angle) - im[k * stride] * sinl(angle);
                m +=
                    re[k * stride] * sinl(angle) + im[k * stride] * cosl(angle);
            }
            cr_assert(fabsl(creal(to[n]) - r) <= 1e-14L &&
                          fabsl(cimag(to[n]) - m) <= 1e-14L,
                      "stride %zu, element %zu: %g %g, not %Lg %Lg", stride, n,
                      creal(to[n]), cimag(to[n]), r, m);
        }
    }
}

/* Amplitudes of a part of the fields by ring of |f|, summed into
 * ring[1 .. 16]. */
static void add_spectrum(double complex field[SIDE][SIDE],
                         double (*part)(double complex), double *ring,
                         double *count)
{
    size_t fx, fy, px, py;

    for (fy = 0; fy < SIDE; fy++)
        for (fx = 0; fx <= SIDE / 2; fx++) {
            double gy = fy <= SIDE / 2 ? (double)fy : (double)fy - SIDE;
            double f = hypot((double)fx, gy), re = 0, im = 0;
            size_t at = (size_t)(f + 0.5);

            if (at < 1 || at > SIDE / 2)
                continue;
            for (py = 0; py < SIDE; py++)
                for (px = 0; px < SIDE; px++) {
                    size_t turn = (fx * px + fy * py) % SIDE;

                    re += part(field[py][px]) * creal(synth_root[turn]);
                    im += part(field[py][px]) * cimag(synth_root[turn]);
                }
            ring[at] += hypot(re, im);
            count[at]++;
        }
}

/* The slope of log amplitude against log frequency by least squares. */
static double slope(const double *ring, const double *count)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0, n = SIDE / 2;
    size_t f;

    for (f = 1; f <= SIDE / 2; f++) {
        double lx = log((double)f), ly = log(ring[f] / count[f]);

        sx += lx;
        sy += ly;
        sxx += lx * lx;
        sxy += lx * ly;
    }
    return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

Test(synthetic, fields_have_a_1_over_f_spectrum_and_unit_variance)
{
    enum { FIELDS = 20 };
    static double complex field[SIDE][SIDE];
    double ring[2][SIDE / 2 + 1] = {{0}}, count[2][SIDE / 2 + 1] = {{0}};
    double variance = 0, s; /* about zero: f = 0 is part of the field */
    uint64_t rng = 99;
    size_t i, at;

    synth_start();
    for (i = 0; i < FIELDS; i++) {
        synth_fields(&rng, field);
        add_spectrum(field, creal, ring[0], count[0]);
        add_spectrum(field, cimag, ring[1], count[1]);
        for (at = 0; at < SIDE * SIDE; at++) {
            double re = creal(field[at / SIDE][at % SIDE]);
            double im = cimag(field[at / SIDE][at % SIDE]);

            variance += re * re + im * im;
        }
    }
    for (i = 0; i < 2; i++) {
        s = slope(ring[i], count[i]);
        cr_assert(s >= -1.3 && s <= -0.7, "part %zu: slope %g", i, s);
    }
    variance /= 2. * FIELDS * SIDE * SIDE;
    cr_assert(variance >= 0.85 && variance <= 1.15, "variance %g", variance);
}

Test(synthetic, a_record_depends_on_its_number_alone)
{
    static unsigned char sequence[30][RECORD], alone[RECORD];
    size_t i, at;

    synth_start();
    for (i = 0; i < 30; i++) {
        int label = synth_record(i, false, sequence[i]);

        cr_assert(label == sequence[i][0], "record %zu: label %d", i, label);
    }
    for (i = 30; i--;) {
        cr_assert(synth_record(i, true, alone) == sequence[i][0],
                  "the label of record %zu alone", i);
        synth_record(i, false, alone);
        for (at = 0; at < RECORD && alone[at] == sequence[i][at]; at++)
            ;
        cr_assert(at == RECORD,
                  "record %zu, byte %zu: %d alone, %d in "
                  "sequence",
                  i, at, alone[at], sequence[i][at]);
    }
}

/* The set must not change from one version or machine to the next: its hash
 * stands here as a plain number, the FNV-1a of what eos synth 200 writes. */
Test(synthetic, the_set_is_always_the_same)
{
    uint64_t once;

    config.ndata = 0;
    cr_assert(load(EOS_MLP, EOS_CE, 200) == EOS_DONE, "%s", failure);
    once = data_hash;
    cr_assert(load(EOS_CNN, EOS_CE, 200) == EOS_DONE, "%s", failure);
    cr_assert(data_hash == once, "the second time it is another");
    cr_assert(once == 0x2af93a2f3ad4dbef, "its hash is 0x%" PRIx64, once);
}

Test(synthetic, every_label_occurs_about_as_often)
{
    unsigned char record[RECORD];
    size_t count[CLASSES] = {0}, c;
    uint64_t i;

    for (i = 0; i < 5000; i++) {
        int label = synth_record(i, true, record);

        cr_assert(label >= 0 && label < CLASSES, "record %" PRIu64 ": %d", i,
                  label);
        count[label]++;
    }
    for (c = 0; c < CLASSES; c++)
        cr_assert(count[c] > 400 && count[c] < 600, "label %zu: %zu of 5000", c,
                  count[c]);
}

Test(synthetic, two_classes_come_from_the_same_records)
{
    static unsigned char record[RECORD];
    size_t cats = 0, dogs = 0;
    uint64_t i;

    config.ndata = 0;
    cr_assert(load(EOS_MLP, EOS_LOGISTIC, 20) == EOS_DONE, "%s", failure);
    for (i = 0; cats < 10 || dogs < 10; i++) {
        synth_record(i, false, record);
        if (record[0] == CAT && cats < 10)
            holds_record(&train, cats++, record, 0);
        else if (record[0] == DOG && dogs < 10)
            holds_record(&train, 10 + dogs++, record, 1);
    }
}

/* Some of it can be learnt: images are nearer to the mean of their own class
 * than to the others' more often than by chance (a tenth). */
Test(synthetic, classes_can_be_told_apart)
{
    static double mean[CLASSES][PIXELS];
    size_t count[CLASSES] = {0}, i, c, at, hits = 0;

    config.ndata = 0;
    cr_assert(load(EOS_MLP, EOS_CE, 1000) == EOS_DONE, "%s", failure);
    for (i = 0; i < 500; i++)
        for (count[train.label[i]]++, at = 0; at < PIXELS; at++)
            mean[train.label[i]][at] += train.rows[i][at];
    for (i = 500; i < 1000; i++) {
        double best = INFINITY, d;
        size_t nearest = 0;

        for (c = 0; c < CLASSES; c++) {
            for (d = 0, at = 0; at < PIXELS; at++)
                d += pow(mean[c][at] / (double)count[c] - train.rows[i][at], 2);
            if (d < best) {
                best = d;
                nearest = c;
            }
        }
        hits += nearest == train.label[i];
    }
    printf("nearest class mean: %zu of 500 right\n", hits);
    cr_assert(hits > 100, "%zu of 500 right", hits);
}

/* --- Sentences --- */

static const char *put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
    return path;
}

/* Both sets, from config.data and config.test. */
static int take(size_t samples)
{
    config.model = EOS_TRANSFORMER;
    config.loss = EOS_LOGISTIC;
    config.samples = samples;
    failure[0] = 0;
    room_clear();
    data_room();
    return data_load();
}

static void takes(size_t samples)
{
    cr_assert(take(samples) == EOS_DONE, "%s", failure);
}

static void refuses_sentences(size_t samples, const char *path,
                              const char *words)
{
    int status = take(samples);

    cr_assert(status == EOS_USAGE, "\"%s\": status %d (%s)", words, status,
              failure);
    cr_assert(!strncmp(failure, path, strlen(path)) &&
                  failure[strlen(path)] == ':',
              "the message is: %s", failure);
    cr_assert(strstr(failure, words) && !strchr(failure, '\n'),
              "\"%s\" is not in: %s", words, failure);
}

/* Sentence i is these tokens and then 0; they end with a 0, too. */
static void holds_tokens(const struct set *s, size_t i, int label,
                         const uint16_t *tokens)
{
    size_t k;
    bool over = false;

    cr_assert(s->label[i] == label, "sentence %zu has label %d", i,
              s->label[i]);
    for (k = 0; k < SENTENCE; k++) {
        over = over || !tokens[k];
        cr_assert(s->tokens[i][k] == (over ? 0 : tokens[k]),
                  "sentence %zu, token %zu: %d, not %d", i, k, s->tokens[i][k],
                  over ? 0 : tokens[k]);
    }
}

/* The training sentence as text, each token with a blank behind it. */
static const char *spelled(size_t i)
{
    static char text[LONGEST];
    size_t k, w, n = 0;

    for (k = 0; k < SENTENCE && train.tokens[i][k]; k++) {
        for (w = 1; words.number[w] != train.tokens[i][k]; w++)
            cr_assert(w < words.count, "there is no token %d",
                      train.tokens[i][k]);
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s ",
                              (int)(words.end[w] - words.end[w - 1]),
                              words.text + words.end[w - 1]);
    }
    text[n] = 0;
    return text;
}

/* The third negative sentence is the longest of all, and is not needed. */
#define BY_HAND                \
    "sentence\tlabel\n"        \
    "good b\t1\n"              \
    "  bad b   good \t0\n"     \
    "x x\t0\n"                 \
    "n1 n2 n3 good n5 n6\t0\n" \
    "ba d bad x \t1\n"

static void holds_by_hand(void)
{
    holds_tokens(&train, 0, 0, (const uint16_t[]){1, 2, 3, 0});
    holds_tokens(&train, 1, 0, (const uint16_t[]){4, 4, 0});
    holds_tokens(&train, 2, 1, (const uint16_t[]){3, 2, 0});
    holds_tokens(&train, 3, 1, (const uint16_t[]){5, 6, 1, 4, 0});
    cr_assert(train.n == 4 && train.length == 4 && vocabulary == 7,
              "n = %zu, length %zu, V = %zu", train.n, train.length,
              vocabulary);
}

Test(sentences, negative_ones_come_first_and_number_the_tokens)
{
    config.ndata = 1;
    config.data[0] = put_text(data_path("text"), BY_HAND);
    takes(4);
    holds_by_hand();
    cr_assert(test.n == 0 && test.length == 4, "a test set of %zu", test.n);
    takes(2);
    holds_tokens(&train, 0, 0, (const uint16_t[]){1, 2, 3, 0});
    holds_tokens(&train, 1, 1, (const uint16_t[]){3, 2, 0});
    cr_assert(train.length == 3 && vocabulary == 4, "length %zu, V = %zu",
              train.length, vocabulary);
    clean_up();
}

/* Filled up where longer sentences were before. */
Test(sentences, may_be_taken_again)
{
    const char *path = data_path("text");

    config.ndata = 1;
    config.data[0] = put_text(path, "sentence\tlabel\n1 2 3 4 5 6\t0\n"
                                    "7 8 9 10 11 12\t1\na b c d e f g\t0\n"
                                    "a b c d e f g\t1\n");
    takes(4);
    put_text(path, BY_HAND);
    failure[0] = 0;
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    holds_by_hand();
    clean_up();
}

/* At every byte a block of the file may end. */
Test(sentences, line_ends_are_of_both_kinds_and_the_last_may_lack)
{
    static char text[2 * sizeof BY_HAND];
    const char *path = data_path("text"), *from;
    uint64_t hash;
    char *to = text;

    config.ndata = 1;
    config.data[0] = put_text(path, BY_HAND);
    takes(4);
    hash = data_hash;
    put_file(path, BY_HAND, sizeof BY_HAND - 2);
    takes(4);
    holds_by_hand();
    cr_assert(data_hash == hash, "another hash without the last line's end");
    for (from = BY_HAND; *from; *to++ = *from++)
        if (*from == '\n')
            *to++ = '\r';
    put_text(path, text);
    takes(4);
    holds_by_hand();
    cr_assert(data_hash == hash, "another hash with CRLF");
    clean_up();
}

Test(sentences, come_from_several_files)
{
    uint64_t hash;

    config.ndata = 1;
    config.data[0] = put_text(data_path("all"), BY_HAND);
    takes(4);
    hash = data_hash;
    config.ndata = 3;
    config.data[0] = put_text(data_path("one"), "sentence\tlabel\ngood b\t1\n"
                                                "  bad b   good \t0");
    config.data[1] = put_text(data_path("none"), "sentence\tlabel\n");
    config.data[2] = put_text(data_path("two"), "sentence\tlabel\nx x\t0\n"
                                                "n7\t0\nba d bad x \t1\n");
    takes(4);
    holds_by_hand();
    cr_assert(data_hash == hash, "another hash");
    clean_up();
}

Test(sentences, of_a_test_set_keep_their_order_and_know_training_s_tokens)
{
    static const uint16_t none = 0;

    config.ndata = 1;
    config.data[0] = put_text(data_path("text"), BY_HAND);
    config.test = put_text(data_path("test"), "sentence\tlabel\n"
                                              "x new n1 good goo\t1\n"
                                              "NEW\t0\nb bad\t0\n");
    takes(4);
    holds_by_hand();
    cr_assert(test.n == 3 && test.length == 5, "n = %zu, length %zu", test.n,
              test.length);
    cr_assert(test.tokens[0][0] == 4 && !test.tokens[0][1] &&
                  !test.tokens[0][2] && test.tokens[0][3] == 3 &&
                  !test.tokens[0][4] && test.label[0] == 1,
              "the first");
    holds_tokens(&test, 1, 0, &none);
    holds_tokens(&test, 2, 0, (const uint16_t[]){2, 1, 0});
    put_text(config.test, "sentence\tlabel\nb\t0\n");
    takes(4);
    cr_assert(test.n == 1 && test.length == 4, "n = %zu, length %zu", test.n,
              test.length);
    clean_up();
}

/* A pipe whose writer takes its time. */
Test(sentences, come_through_a_pipe)
{
    const struct timespec wait = {0, 20000000};
    char name[32];
    int ends[2];

    cr_assert(!pipe(ends), "%s", strerror(errno));
    if (!fork()) {
        write_all(ends[1], BY_HAND, 30);
        nanosleep(&wait, NULL);
        write_all(ends[1], &BY_HAND[30], sizeof BY_HAND - 1 - 30);
        _exit(0);
    }
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    config.ndata = 1;
    config.data[0] = name;
    takes(4);
    holds_by_hand();
    close(ends[0]);
}

/* Files of several blocks, which end anywhere in a line. */
Test(sentences, are_whole_where_blocks_end)
{
    enum { MANY = 1000 };
    static char text[40 * MANY];
    const char *path = data_path("text");
    char wanted[40];
    size_t pad, i, n;

    config.ndata = 1;
    config.data[0] = path;
    for (pad = 0; pad < 24; pad++) {
        n = (size_t)snprintf(text, sizeof text, "sentence\tlabel\r\n%*s",
                             (int)pad, "");
        for (i = 0; i < MANY; i++)
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  "alpha%zu beta%zu\t%d%s", i, i, i % 2 == 1,
                                  i % 3 ? "\n" : "\r\n");
        put_text(path, text);
        takes(MANY);
        cr_assert(vocabulary == 2 * MANY + 1 && train.length == 2,
                  "V = %zu, length %zu", vocabulary, train.length);
        for (i = 0; i < MANY; i += 1 + (i == 10) * 600) {
            snprintf(wanted, sizeof wanted, "alpha%zu beta%zu ", i, i);
            n = i % 2 * MANY / 2 + i / 2;
            cr_assert(!strcmp(spelled(n), wanted), "%zu is: %s", i, spelled(n));
        }
    }
    clean_up();
}

/* What is wrong in a line is told of the line, needed or not. */
Test(sentences, that_are_none_are_refused)
{
    static const char nul[] = "sentence\tlabel\na\t1\nb\0c\t0\n";
    static const char early_nul[] = "sentence\tlabel\0\na\t1\nb\t0\n";
    static const struct {
        const char *text, *words;
    } table[] = {
        {"", "line 1 is not sentence<TAB>label"},
        {"a b\t0\nc\t1\n", "line 1 is not sentence<TAB>label"},
        {"sentence\n", "line 1 is not sentence<TAB>label"},
        {"index\tsentence\n0\ta\n", "line 1 is not sentence<TAB>label"},
        {"sentence\tlabel \na\t0\nb\t1\n", "line 1 is not"},
        {"sentence\tlabel\na\t1\nb\t0\nb 0\nc\t1\n", "line 4 has no tab"},
        {"sentence\tlabel\na\t1\n\nc\t0\n", "line 3 has no tab"},
        {"sentence\tlabel\na\t2\n", "line 2 has another label"},
        {"sentence\tlabel\na\t1\na\t01\n", "line 3 has another label"},
        {"sentence\tlabel\na\t1\na\t\n", "line 3 has another label"},
        {"sentence\tlabel\na\t1\na\t0 \n", "line 3 has another label"},
        {"sentence\tlabel\na\t1\na\tb\t0\n", "or a second tab"},
        {"sentence\tlabel\n\t1\n", "line 2 has 0 words; 1 to 64"},
        {"sentence\tlabel\na\t0\n   \t1\n", "line 3 has 0 words"},
        {"sentence\tlabel\na\t0\n", "1 negative and 0 positive sentences"},
        {"sentence\tlabel\n", "0 negative and 0 positive sentences"},
    };
    const char *path = data_path("text");
    size_t i;

    config.ndata = 1;
    config.data[0] = path;
    for (i = 0; i < sizeof table / sizeof *table; i++) {
        put_text(path, table[i].text);
        refuses_sentences(4, path, table[i].words);
    }
    put_file(path, nul, sizeof nul - 1);
    refuses_sentences(4, path, "line 3 has a NUL byte");
    put_file(path, early_nul, sizeof early_nul - 1);
    refuses_sentences(2, path, "line 1 is not");
    clean_up();
}

Test(sentences, too_few_of_a_class_are_refused)
{
    config.ndata = 1;
    config.data[0] = put_text(data_path("text"), BY_HAND);
    refuses_sentences(6, config.data[0],
                      "3 negative and 2 positive sentences; --samples 6 needs "
                      "3 of each (at most --samples 4 with this data)");
    config.test = put_text(data_path("test"), "sentence\tlabel\n");
    refuses_sentences(4, config.test, "no sentence in it");
    clean_up();
}

/* Also those that are not needed. */
Test(sentences, are_in_no_file_of_images)
{
    draw_records(13);
    config.ndata = 2;
    config.data[0] = put_text(data_path("text"), BY_HAND);
    config.data[1] = save_records("images", 0, 10);
    refuses_sentences(4, config.data[1], "--model transformer takes");
    config.data[1] = data_path("missing");
    refuses_sentences(4, config.data[1], "No such file");
    config.data[1] = data_folder;
    refuses_sentences(4, config.data[1], "cannot read");
    config.ndata = 1;
    config.test = save_records("test", 0, 1);
    refuses_sentences(4, config.test, "--model transformer takes");
    clean_up();
}

Test(sentences, are_told_from_images)
{
    static char text[RECORD + 1] = "sentence\tlabel\n";
    const char *path = data_path("text");

    draw_records(14);
    config.ndata = 1;
    config.data[0] = put_text(path, BY_HAND);
    refuses_data(path, "line 1 is the header of sentences, which are for");
    memset(text + strlen(text), 'a', RECORD - strlen(text));
    put_text(path, text); /* of the size of a record, and not needed */
    config.ndata = 2;
    config.data[0] = save_records("images", 0, 10);
    config.data[1] = path;
    refuses_data(path, "--model transformer");
    clean_up();
}

/* --- Sentences: how much there is room for --- */

/* A file of `count` sentences, negative and positive in turn, all but the last
 * of `each` words, that differ all, for they count down to 0; one more has the
 * last two once more. */
static void save_words(const char *path, size_t count, size_t each, size_t last)
{
    static char text[16 * (TOKENS + 4 * SENTENCE)];
    size_t n = (size_t)snprintf(text, sizeof text, "sentence\tlabel\n"), i, k;
    size_t word = (count - 1) * each + last;

    for (i = 0; i < count; i++) {
        for (k = 0; k < (i + 1 < count ? each : last); k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%zu ", --word);
        n += (size_t)snprintf(text + n, sizeof text - n, "\t%zu\n", i % 2);
    }
    snprintf(text + n, sizeof text - n, "1 0\t%zu\n", count % 2);
    put_text(path, text);
}

Test(sentences, have_64_words_at_most)
{
    const char *path = data_path("text");

    config.ndata = 1;
    config.data[0] = path;
    save_words(path, 1, 0, SENTENCE);
    takes(2);
    cr_assert(train.length == 64 && vocabulary == 65, "length %zu",
              train.length);
    cr_assert(train.tokens[0][63] == 64 && train.tokens[1][0] == 63, "%d %d",
              train.tokens[0][63], train.tokens[1][0]);
    save_words(path, 1, 0, SENTENCE + 1);
    refuses_sentences(2, path, "line 2 has 65 words; 1 to 64 are wanted");
    clean_up();
}

/* All 0 .. TOKENS - 1 are in use, and then one more is wanted. */
Test(sentences, have_as_many_different_words_as_there_is_room_for)
{
    enum { LINES = TOKENS / SENTENCE };
    const char *path = data_path("text");
    char wanted[40];

    config.ndata = 1;
    config.data[0] = path;
    save_words(path, LINES, SENTENCE, SENTENCE - 1);
    takes(LINES);
    cr_assert(vocabulary == TOKENS, "V = %zu", vocabulary);
    snprintf(wanted, sizeof wanted, "%d %d ", TOKENS - 2, TOKENS - 3);
    cr_assert(!strncmp(spelled(0), wanted, strlen(wanted)), "the first is: %s",
              spelled(0));
    cr_assert(strstr(spelled(LINES - 1), " 2 1 0 ") != NULL, "the last is: %s",
              spelled(LINES - 1));
    save_words(path, LINES, SENTENCE, SENTENCE);
    snprintf(wanted, sizeof wanted, "line %d has one word too many", LINES + 1);
    refuses_sentences(LINES, path, wanted);
    cr_assert(strstr(failure, "make TOKENS=") != NULL, "%s", failure);
    takes(LINES - 2);
    clean_up();
}

/* Those of a test set need none, nor do those of sentences not in use. */
Test(sentences, that_are_not_in_training_need_no_room)
{
    config.ndata = 1;
    config.data[0] = data_path("text");
    config.test = data_path("test");
    save_words(config.test, TOKENS / SENTENCE + 2, SENTENCE, SENTENCE);
    save_words(config.data[0], TOKENS / SENTENCE, SENTENCE, SENTENCE - 1);
    takes(TOKENS / SENTENCE);
    cr_assert(vocabulary == TOKENS, "V = %zu", vocabulary);
    cr_assert(test.n == TOKENS / SENTENCE + 3, "%zu of a test set", test.n);
    clean_up();
}

/* Some 250 bytes a word: fewer have room than would by their number. */
static void save_long_words(const char *path, size_t count)
{
    enum { LENGTH = 250 };
    static char text[64 * TOKENS];
    size_t n = (size_t)snprintf(text, sizeof text, "sentence\tlabel\n"), i;

    for (i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%0*zu%s", LENGTH, i,
                              i % 50 < 49    ? " "
                              : i % 100 < 50 ? "\t0\n"
                                             : "\t1\n");
    put_text(path, text);
}

Test(sentences, of_long_words_have_bounded_room_too)
{
    enum { ALL = 32 * TOKENS / 250 / 100 * 100 };

    config.ndata = 1;
    config.data[0] = data_path("text");
    save_long_words(config.data[0], ALL);
    takes(ALL / 50);
    cr_assert(vocabulary == ALL + 1, "V = %zu", vocabulary);
    save_long_words(config.data[0], ALL + 100);
    refuses_sentences(ALL / 50 + 2, config.data[0], "one word too many");
    clean_up();
}

/* Of a test set the first TEST_SAMPLES. */
Test(sentences, of_a_test_set_are_bounded)
{
    static char text[4 * TEST_SAMPLES + 80];
    const size_t n = (size_t)sprintf(text, "sentence\tlabel\n");
    size_t i;

    for (i = 0; i <= TEST_SAMPLES; i++)
        memcpy(text + n + 4 * i, "a\t1\n", 4);
    config.ndata = 1;
    config.data[0] = put_text(data_path("text"), BY_HAND);
    config.test = put_text(data_path("test"), text);
    takes(4);
    cr_assert(test.n == TEST_SAMPLES && test_more, "%zu, more: %d", test.n,
              test_more);
    text[n + 4 * TEST_SAMPLES] = 0;
    put_text(config.test, text);
    takes(4);
    cr_assert(test.n == TEST_SAMPLES && !test_more, "%zu, more: %d", test.n,
              test_more);
    clean_up();
}

Test(sentences, stand_in_lines_of_bounded_length)
{
    static char text[2 * LONGEST];
    const char *path = data_path("text");
    size_t start, n;

    config.ndata = 1;
    config.data[0] = path;
    for (n = LONGEST - 2; n < LONGEST + 3; n++) {
        memset(text, ' ', sizeof text);
        start = (size_t)snprintf(text, sizeof text, "sentence\tlabel\nb\t1\n");
        text[start] = 'a';
        snprintf(text + start + n - 2, 4, "\t0\n");
        put_text(path, text);
        if (n < LONGEST)
            takes(2);
        else
            refuses_sentences(2, path, "line 3 has over 16383 bytes");
    }
    clean_up();
}

Test(sentences, have_a_hash_that_tells_words_labels_and_their_order)
{
    static const char *const texts[] = {
        "a b\t0\nc\t1\nd\t1\n", "a c\t0\nc\t1\nd\t1\n", "c\t0\na b\t1\nd\t1\n",
        "c\t1\na b\t0\nd\t1\n", "a  b\t0\nc\t1\n",
    };
    static char text[80];
    const char *path = data_path("text");
    uint64_t seen[5];
    size_t i, j;

    config.ndata = 1;
    config.data[0] = path;
    config.test = path;
    for (i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "sentence\tlabel\n%s", texts[i]);
        put_text(path, text);
        takes(2);
        seen[i] = data_hash;
        for (j = 0; j < i; j++)
            cr_assert(seen[i] != seen[j], "%zu and %zu look alike", i, j);
        cr_assert((test_hash == data_hash) == (i == 4), "the hash of all");
    }
    cr_assert(seen[0] == hash_bytes(HASH_START, "a b\t0\nc\t1\n", 10),
              "it is not that of the lines");
    clean_up();
}

/* --- The built-in sentences --- */

Test(synthetic, a_sentence_depends_on_its_number_alone)
{
    static char sequence[30][200];
    size_t i;

    for (i = 0; i < 30; i++) {
        synth_sentence(i, &source);
        snprintf(sequence[i], sizeof *sequence, "%s", source.line);
    }
    for (i = 30; i--;) {
        synth_sentence(i, &source);
        cr_assert(!strcmp(source.line, sequence[i]), "%zu: %s, not %s", i,
                  source.line, sequence[i]);
        cr_assert(source.n == strlen(sequence[i]), "%zu: its length", i);
    }
}

/* A set of more has those of one of fewer, class by class, and those of each
 * class are all that come. */
Test(synthetic, more_sentences_begin_with_fewer)
{
    static char few[10][200];
    size_t i, count[2] = {0};

    config.ndata = 0;
    takes(10);
    for (i = 0; i < 10; i++)
        snprintf(few[i], sizeof *few, "%s", spelled(i));
    takes(20);
    for (i = 0; i < 10; i++)
        cr_assert(!strcmp(few[i], spelled(i < 5 ? i : 5 + i)), "%zu: %s", i,
                  few[i]);
    for (i = 0; count[0] < 10 || count[1] < 10; i++) {
        size_t label;

        synth_sentence(i, &source);
        label = source.line[source.n - 1] == '1';
        source.line[source.n - 2] = 0;
        if (count[label] < 10)
            cr_assert(!strcmp(spelled(10 * label + count[label]), source.line),
                      "%s", source.line);
        count[label]++;
    }
}

/* As of the images: eos must make the same ones everywhere and always. */
Test(synthetic, the_sentences_are_always_the_same)
{
    config.ndata = 0;
    takes(200);
    cr_assert(data_hash == 0xa3ebb87e57693bd2, "its hash is 0x%" PRIx64,
              data_hash);
}

/* Whether bench/RESULTS.md says so. */
LIKE_PRINTF(1, 2)
static void is_said(const char *format, ...)
{
    static char page[1 << 17], text[200];
    const char *const file = __FILE__; /* in tests, beside bench */
    const int folder = (int)(strrchr(file, '/') - file);
    va_list args;
    ssize_t n;
    int fd;

    snprintf(text, sizeof text, "%.*s/../bench/RESULTS.md", folder, file);
    fd = open(text, O_RDONLY);
    n = read_all(fd, page, sizeof page - 1);
    close(fd);
    cr_assert(n > 0, "bench/RESULTS.md");
    page[n] = 0;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cr_assert(strstr(page, text), "bench/RESULTS.md: nowhere: %s", text);
}

/* The words of the training set: all, the commonest one's, those that come once;
 * of the shortest sentence. */
static void count_words(size_t *all, size_t *most, size_t *once,
                        size_t *shortest)
{
    static size_t count[TOKENS];
    size_t i, k;

    memset(count, 0, sizeof count);
    *all = *most = *once = 0;
    *shortest = SENTENCE;
    for (i = 0; i < train.n; i++) {
        for (k = 0; k < SENTENCE && train.tokens[i][k]; k++)
            *most = size_max(*most, ++count[train.tokens[i][k]]);
        *all += k;
        *shortest = size_min(*shortest, k);
    }
    for (k = 1; k < vocabulary; k++)
        *once += count[k] == 1;
}

/* About as many as SST-2's have. */
Test(synthetic, sentences_are_as_long_and_words_as_common_as_in_english)
{
    size_t all, most, once, shortest;

    config.ndata = 0;
    takes(1000);
    count_words(&all, &most, &once, &shortest);
    cr_assert(all > 9000 && all < 10000, "%zu words", all);
    cr_assert(shortest == 1 && train.length == 30, "lengths %zu to %zu",
              shortest, train.length);
    cr_assert(vocabulary > 1400 && vocabulary < 1700, "V = %zu", vocabulary);
    cr_assert(once > 400 && most > all / 25 && most < all / 15,
              "%zu words once, one %zu times of %zu", once, most, all);
    is_said("there are %.1f words", (double)all / 1000);
    is_said("%zu,%03zu different ones", (vocabulary - 1) / 1000,
            (vocabulary - 1) % 1000);
    is_said("the commonest is one of %.0f", (double)all / (double)most);
}

/* The words tell the label in part: counts over the first 1,000, tried on as
 * many others. */
Test(synthetic, words_tell_the_label_in_part)
{
    static double count[2][2048];
    char *at;
    size_t i, hits = 0, positive = 0;

    for (i = 0; i < 2000; i++) {
        size_t label;
        double odds = 0;

        synth_sentence(i, &source);
        label = source.line[source.n - 1] == '1';
        for (at = source.line; *at != '\t'; at++) {
            size_t word = strtoul(at, &at, 10);

            cr_assert(word >= 2 && word < 2048, "word %zu", word);
            odds += log((count[1][word] + 1) / (count[0][word] + 1));
            count[label][word] += i < 1000;
        }
        positive += label;
        hits += i >= 1000 && (odds > 0) == (label == 1);
    }
    cr_assert(hits > 620 && hits < 800, "%zu of 1000 right", hits);
    is_said("the label of %zu %% of", (hits + 5) / 10);
    cr_assert(positive > 900 && positive < 1100, "%zu positive", positive);
}

/* --- SST-2, where EOS_SHARED names the folder that has it --- */

Test(sentences, of_sst_2_number_as_many_tokens_as_another_program_finds)
{
    static char path[2][PATH];
    const char *shared = getenv("EOS_SHARED");
    size_t all, most, once, shortest;

    if (!shared)
        cr_skip_test("EOS_SHARED is not set");
    snprintf(path[0], PATH, "%s/data/sst2-train.tsv", shared);
    snprintf(path[1], PATH, "%s/data/sst2-dev.tsv", shared);
    config.ndata = 1;
    config.data[0] = path[0];
    config.test = path[1];
    takes(16);
    cr_assert(vocabulary == 132 && train.length == 29,
              "V = %zu, %zu tokens in the longest", vocabulary, train.length);
    cr_assert(test.n == 872 && test.length == 47, "%zu, %zu in the longest",
              test.n, test.length);
    takes(1000);
    cr_assert(vocabulary == 2966 && train.length == 51,
              "V = %zu, %zu tokens in the longest", vocabulary, train.length);
    count_words(&all, &most, &once, &shortest);
    is_said("(of SST-2's first ones: %.1f)", (double)all / 1000);
    is_said("different ones (%zu,%03zu)", (vocabulary - 1) / 1000,
            (vocabulary - 1) % 1000);
    is_said("is one of 18 (%.0f)", (double)all / (double)most);
}
