/*
 * A log as a program reads it, and the folder in which the tests of runs put
 * their files.  Needs common.h or outside.h.
 */
#pragma once
#include <dirent.h>
#include <sys/wait.h>

enum { LOG_TEXT = 1 << 21, LOG_BLOCKS = 2, LOG_ROWS = 1000, LOG_COLUMNS = 80 };

/* A phase: its names, and its rows as text and as numbers. */
struct block {
    size_t columns, rows;
    char name[LOG_COLUMNS][24];
    char *line[LOG_ROWS];
    double value[LOG_ROWS][LOG_COLUMNS];
};

/* comments points at every `#` line, in order, behind its "# ". */
struct log {
    char text[LOG_TEXT];
    size_t size, blocks, comments;
    const char *comment[LOG_ROWS];
    struct block block[LOG_BLOCKS];
};
static struct log log_a, log_b;

/* --- A folder for files --- */

static char folder[64];

/* A file's name in the folder; the last sixteen results stay. */
static const char *in_folder(const char *name)
{
    static char paths[16][512];
    static size_t turn;
    char *path = paths[turn++ % 16];

    snprintf(path, sizeof *paths, "%s/%s", folder, name);
    return path;
}

static void folder_make(void)
{
    strcpy(folder, "/tmp/eos-test-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL, "%s: %s", folder, strerror(errno));
}

static void remove_all(const char *name)
{
    DIR *all = opendir(name);
    struct dirent *file;
    char path[512];

    cr_assert(all != NULL, "%s: %s", name, strerror(errno));
    while ((file = readdir(all))) {
        if (!strcmp(file->d_name, ".") || !strcmp(file->d_name, ".."))
            continue;
        snprintf(path, sizeof path, "%s/%s", name, file->d_name);
        if (remove(path))
            remove_all(path); /* a folder that is not empty */
    }
    closedir(all);
    cr_assert(rmdir(name) == 0, "%s: %s", name, strerror(errno));
}

/* Called at the end: a test that fails leaves its files to look at. */
static void folder_remove(void)
{
    remove_all(folder);
}

/* --- Reading --- */

static size_t read_file(const char *name, void *to, size_t size)
{
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read_all(fd, to, size);

    cr_assert(n >= 0, "%s: %s", name, strerror(errno));
    cr_assert((size_t)n < size, "%s: larger than %zu bytes", name, size);
    close(fd);
    return (size_t)n;
}

static void log_names(struct block *b, char *names)
{
    char *name;

    for (name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        cr_assert(b->columns < LOG_COLUMNS && strlen(name) < sizeof b->name[0],
                  "column '%s'", name);
        strcpy(b->name[b->columns++], name);
    }
}

static void log_row(struct block *b, char *line)
{
    const char *at = line;
    char *end;
    size_t i;

    cr_assert(b->rows < LOG_ROWS, "too many rows for the test");
    for (i = 0; i < b->columns; i++, at = end) {
        b->value[b->rows][i] = strtod(at, &end);
        cr_assert(end > at, "row %zu has %zu of %zu fields: %s", b->rows, i,
                  b->columns, line);
    }
    cr_assert(*at == 0, "row %zu goes on after %zu fields: %s", b->rows,
              b->columns, at);
    b->line[b->rows++] = line;
}

/* Reads a log: comments, blocks with two blank lines between, nothing else. */
static void log_read(struct log *log, const char *name)
{
    char names[4096], *line, *end;
    size_t blank = 2;

    memset(log, 0, sizeof *log);
    log->size = read_file(name, log->text, LOG_TEXT);
    cr_assert(!log->size || log->text[log->size - 1] == '\n',
              "%s: ends within a line", name);
    for (line = log->text; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = 0;
        if (!*line) {
            blank++;
            continue;
        }
        cr_assert(blank == 0 || blank == 2, "%s: %zu blank lines before: %s",
                  name, blank, line);
        if (blank == 2)
            cr_assert(log->blocks <= LOG_BLOCKS, "%s: too many blocks", name);
        blank = 0;
        if (*line != '#') {
            cr_assert(log->blocks > 0, "%s: a row before its names", name);
            log_row(&log->block[log->blocks - 1], line);
            continue;
        }
        cr_assert(line[1] == ' ' && log->comments < LOG_ROWS, "%s: %s", name,
                  line);
        log->comment[log->comments++] = line + 2;
        if (!strncmp(line, "# columns: ", 11)) {
            cr_assert(log->blocks < LOG_BLOCKS, "%s: too many blocks", name);
            snprintf(names, sizeof names, "%s", line + 11);
            log_names(&log->block[log->blocks++], names);
        }
    }
}

/* The value of the comment "key: value"; NULL without. */
static const char *log_comment(const struct log *log, const char *key)
{
    size_t i, len = strlen(key);

    for (i = 0; i < log->comments; i++)
        if (!strncmp(log->comment[i], key, len) &&
            !strncmp(log->comment[i] + len, ": ", 2))
            return log->comment[i] + len + 2;
    return NULL;
}

/* The first comment that begins like this; NULL without. */
static const char *log_note(const struct log *log, const char *beginning)
{
    size_t i;

    for (i = 0; i < log->comments; i++)
        if (!strncmp(log->comment[i], beginning, strlen(beginning)))
            return log->comment[i];
    return NULL;
}

static double log_summary(const struct log *log, const char *name)
{
    char key[64];
    const char *value;

    snprintf(key, sizeof key, "summary %s", name);
    value = log_comment(log, key);
    cr_assert(value != NULL, "the log has no '# summary %s'", name);
    return strtod(value, NULL);
}

static size_t log_column(const struct block *b, const char *name)
{
    size_t i;

    for (i = 0; i < b->columns && strcmp(b->name[i], name); i++)
        ;
    cr_assert(i < b->columns, "the log has no column %s", name);
    return i;
}

static double log_value(const struct block *b, size_t row, const char *name)
{
    cr_assert(row < b->rows, "no row %zu, only %zu", row, b->rows);
    return b->value[row][log_column(b, name)];
}

/* Every row the same, byte for byte. */
static void same_rows(const struct log *a, const struct log *b,
                      const char *what)
{
    size_t i, j;

    cr_assert(a->blocks == b->blocks, "%s: %zu and %zu blocks", what, a->blocks,
              b->blocks);
    for (i = 0; i < a->blocks; i++) {
        const struct block *x = &a->block[i], *y = &b->block[i];

        cr_assert(x->rows == y->rows, "%s: block %zu has %zu and %zu rows",
                  what, i, x->rows, y->rows);
        for (j = 0; j < x->rows; j++)
            cr_assert(!strcmp(x->line[j], y->line[j]),
                      "%s: block %zu, row %zu differ:\n%s\n%s", what, i, j,
                      x->line[j], y->line[j]);
    }
}
