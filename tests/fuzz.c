/*
 * Random bytes for the readers of files and for the command line, by
 * libFuzzer: make fuzz; tests/fuzz -max_total_time=60.  FUZZ=npy, images,
 * sentences, checkpoint or arguments says what is fuzzed.  Whatever comes, a
 * reader returns a status and leaves a line; the sanitizers see the rest.
 */
#define _POSIX_C_SOURCE 200809L
#define EOS_TEST
#include "../eos.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char file[64];

static void put_file(const void *bytes, size_t n)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write_all(fd, bytes, n) || close(fd))
        abort();
}

static void file_remove(void)
{
    unlink(file);
}

/* A small problem, for there must be one. */
static void fuzz_start(void)
{
    struct eos_config c = eos_defaults();

    snprintf(file, sizeof file, "/tmp/eos-fuzz-%ld", (long)getpid());
    atexit(file_remove);
    c.model = EOS_CNN; /* as fuzz.sh makes the checkpoint */
    c.loss = EOS_BMSE;
    c.samples = 2;
    c.threads = 1;
    c.resume = true; /* room for the rows that one may have */
    if (eos_start(&c))
        abort();
}

/* What is read is finite; what is not read has its reason. */
static void fuzz_npy(const uint8_t *bytes, size_t n)
{
    double x[5];
    size_t i;

    put_file(bytes, n);
    failure[0] = 0;
    if (npy_read(file, 5, x)) {
        if (!failure[0])
            abort();
        return;
    }
    for (i = 0; i < 5; i++)
        if (!isfinite(x[i]))
            abort();
}

static void fuzz_images(const uint8_t *bytes, size_t n)
{
    put_file(bytes, n);
    config.data[0] = file;
    config.ndata = 1;
    config.loss = n % 2 ? EOS_BMSE : EOS_MSE;
    failure[0] = 0;
    if (data_load() && !failure[0])
        abort();
}

/* As training and as test set.  No token is one that there is not. */
static void fuzz_sentences(const uint8_t *bytes, size_t n)
{
    size_t i, k;

    put_file(bytes, n);
    config.data[0] = config.test = file;
    config.ndata = 1;
    config.loss = EOS_BMSE;
    if (config.model != EOS_TRANSFORMER) {
        config.model = EOS_TRANSFORMER;
        room_clear();
        data_room();
    }
    failure[0] = 0;
    if (data_load()) {
        if (!failure[0])
            abort();
        return;
    }
    for (i = 0; i < test.n; i++)
        for (k = 0; k < SENTENCE; k++)
            if (test.label[i] > 1 || test.tokens[i][k] >= vocabulary ||
                (test.tokens[i][k] && k >= test.length))
                abort();
}

/* The hash is put right, so that damage gets beyond it. */
static void fuzz_checkpoint(const uint8_t *bytes, size_t n)
{
    static unsigned char copy[1 << 20];

    n = size_min(n, sizeof copy);
    memcpy(copy, bytes, n);
    if (n >= 8)
        put_le(copy + n - 8, hash_bytes(HASH_START, copy, n - 8), 8);
    put_file(copy, n);
    config.checkpoint = file;
    eos_init(0, path.gd);
    ckpt_text("run");
    failure[0] = 0;
    if (!ckpt_resume())
        tell("a checkpoint was read to its end");
    else if (!failure[0])
        abort();
}

static void fuzz_arguments(const uint8_t *bytes, size_t n)
{
    static char text[4096];
    char *words[64] = {"eos"};
    struct eos_config c = eos_defaults();
    bool helped = false;
    size_t i, count = 1;

    n = size_min(n, sizeof text - 1);
    memcpy(text, bytes, n);
    text[n] = 0;
    words[count++] = text;
    for (i = 0; i < n && count < 63; i++)
        if (text[i] == '\n') {
            text[i] = 0;
            words[count++] = text + i + 1;
        }
    words[count] = NULL;
    optind = 0;
    failure[0] = 0;
    if (parse(&commands[n % 4], (int)count, words, &c, &helped) && !failure[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *what = getenv("FUZZ");

    if (!net.params)
        fuzz_start();
    if (!what || !strcmp(what, "npy"))
        fuzz_npy(bytes, n);
    else if (!strcmp(what, "images"))
        fuzz_images(bytes, n);
    else if (!strcmp(what, "sentences"))
        fuzz_sentences(bytes, n);
    else if (!strcmp(what, "checkpoint"))
        fuzz_checkpoint(bytes, n);
    else
        fuzz_arguments(bytes, n);
    return 0;
}
