/*
 * eos as a program, for the tests that start it: with arguments, in a folder
 * of its own, with full disks, closed pipes and signals.  EOS_BIN names it;
 * without, ./eos or ../eos.  Needs common.h or outside.h, logs.h and small.h.
 */
#pragma once
#include <sys/resource.h>
#include <sys/wait.h>

/* Two images and a small network: what a test of words needs. */
#define TINY "--model cnn --loss bmse --samples 2 --threads 1"
/* An approach of a few steps that goes back once, and a track. */
#define SHORT                                                       \
    "--data images --model cnn --loss bmse --samples 8 --lr 0.115 " \
    "--tol 1e-2 --stop-lambda2 inf --threads 1"
#define SHORT_TRAINING                                             \
    "--data images --model cnn --loss bmse --samples 8 --lr 0.05 " \
    "--tol 1e-2 --threads 1"
/* Two images: for tests that start many runs. */
#define FAST                                                       \
    "--data images --model cnn --loss bmse --samples 2 --lr 0.16 " \
    "--tol 1e-2 --stop-lambda2 inf --threads 1"
/* Where gradient descent diverges after ten tracked steps. */
#define DIVERGING                                                 \
    "--data images --model cnn --loss bmse --samples 8 --lr 0.3 " \
    "--tol 1e-2 --stop-lambda2 inf --steps 40 --threads 1"

/* --- Starting the program --- */

enum output { ORDINARY, APPENDED, PIPE, CLOSED_PIPE, FULL_DISK, CLOSED };
static struct {
    const char *kernel; /* EOS_KERNEL, if not NULL */
    enum output output; /* where standard output leads */
    rlim_t file_size;   /* limit on a file, if not 0 */
    int signal;         /* sent, if not 0, `after` seconds of running */
    int second;         /* another, if not 0, a little later */
    double after;
    bool nobody; /* without the rights of root, where the test has them */
    bool apart;  /* beside another that is waited for */
} how;

static struct {
    int status;
    char out[1 << 20], err[1 << 14];
    size_t out_size;
} said;

/* An absolute name, for the program runs in the folder. */
static const char *program(void)
{
    static char path[PATH];
    const char *name = getenv("EOS_BIN");
    size_t len;

    if (!name)
        name = access("./eos", X_OK) ? "../eos" : "./eos";
    cr_assert(!access(name, X_OK), "no %s: make eos first, or set EOS_BIN",
              name);
    if (*name == '/')
        return name;
    cr_assert(getcwd(path, sizeof path) != NULL, "getcwd");
    len = strlen(path);
    snprintf(path + len, sizeof path - len, "/%s", name);
    return path;
}

static void redirect(const char *file, int to)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
    close(fd);
}

static void redirect_output(void)
{
    int ends[2];

    switch (how.output) {
    case APPENDED: /* to what stands in the file */
        close(STDOUT_FILENO);
        if (open("out", O_WRONLY | O_APPEND) != STDOUT_FILENO)
            _exit(126);
        break;
    case PIPE: /* a fifo in the folder */
        redirect("pipe", STDOUT_FILENO);
        break;
    case CLOSED:
        close(STDOUT_FILENO);
        break;
    case CLOSED_PIPE:
        if (pipe(ends) || close(ends[0]) || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(126);
        break;
    case FULL_DISK:
        redirect("/dev/full", STDOUT_FILENO);
        break;
    default:
        redirect(how.apart ? "out1" : "out", STDOUT_FILENO);
        break;
    }
}

extern char **environ;
/* In the child: the folder, the environment, the limits, the program. */
static void become(const char *path, char **arguments)
{
    struct rlimit limit = {how.file_size, how.file_size};
    int fd = open(path, O_RDONLY); /* nobody may not get there by its name */

    if (chdir(folder))
        _exit(126);
    redirect(how.apart ? "err1" : "err", STDERR_FILENO);
    redirect_output();
    /* The end of the test hangs up a stopped program if its process group is
     * its own: a test that fails leaves none behind. */
    if (how.apart && setpgid(0, 0))
        _exit(126);
    unsetenv("EOS_KERNEL");
    if (how.kernel)
        setenv("EOS_KERNEL", how.kernel, 1);
    if (how.file_size && setrlimit(RLIMIT_FSIZE, &limit))
        _exit(126);
    if (how.nobody && geteuid() == 0 && setuid(65534))
        _exit(126);
    alarm(100);
    fexecve(fd, arguments, environ);
    _exit(127);
}

/* Starts eos in the folder.  Arguments are separated by one blank; two blanks
 * have an empty one between them. */
static pid_t launch(const char *command)
{
    static char line[4096];
    char *arguments[64] = {"eos"}, *at = line;
    const char *path = program();
    size_t n = 1;
    pid_t child;

    snprintf(line, sizeof line, "%s", command);
    while (*line && at && n < 63) {
        arguments[n++] = at;
        at = strchr(at, ' ');
        if (at)
            *at++ = 0;
    }
    child = fork();
    if (child == 0)
        become(path, arguments);
    cr_assert(child > 0, "fork");
    return child;
}

/* Runs eos in the folder and returns its exit status. */
LIKE_PRINTF(1, 2)
static int eos(const char *format, ...)
{
    static char line[4096];
    va_list args;
    pid_t child;
    int status;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    child = launch(line);
    if (how.signal) {
        struct timespec wait = {(time_t)how.after,
                                (long)(fmod(how.after, 1) * 1e9)};

        nanosleep(&wait, NULL);
        kill(child, how.signal);
        wait = (struct timespec){0, 100000000};
        if (how.second && !nanosleep(&wait, NULL))
            kill(child, how.second);
    }
    cr_assert(waitpid(child, &status, 0) == child, "waitpid");
    cr_assert(WIFEXITED(status) || how.signal, "eos %s: ended by signal %d",
              line, WTERMSIG(status));
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + SIGKILL;
    cr_assert(said.status != 126 && said.status != 127, "eos did not start");
    said.out_size = how.output == ORDINARY
                        ? read_file(in_folder("out"), said.out, sizeof said.out)
                        : 0;
    said.out[said.out_size] = 0;
    said.err[read_file(in_folder("err"), said.err, sizeof said.err)] = 0;
    return said.status;
}

static void exits_with(int expected, const char *arguments)
{
    int status = eos("%s", arguments);

    cr_assert(status == expected, "eos %s: status %d, expected %d: %s",
              arguments, status, expected, said.err);
}

/* --- What it said --- */

static size_t lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* The last line of standard error tells: eos: NAME: what. */
static void last_words(const char *arguments, const char *name)
{
    size_t len = strlen(said.err);
    const char *last;

    cr_assert(len && said.err[len - 1] == '\n', "eos %s: it says '%s'",
              arguments, said.err);
    for (last = said.err + len - 1; last > said.err && last[-1] != '\n'; last--)
        ;
    cr_assert(!strncmp(last, "eos: ", 5) && strstr(last, name),
              "eos %s: '%s' is not named in: %s", arguments, name, last);
}

/* Exit status 2 and one line that names the culprit, nothing else. */
static void refuses(const char *arguments, const char *name)
{
    exits_with(EOS_USAGE, arguments);
    cr_assert(lines(said.err) == 1, "eos %s: %zu lines: %s", arguments,
              lines(said.err), said.err);
    last_words(arguments, name);
    cr_assert(said.out_size == 0, "eos %s: it also says: %s", arguments,
              said.out);
}

/* --- Files for it --- */

static void write_file(const char *name, const void *bytes, size_t n)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0666);

    cr_assert(fd >= 0 && !write_all(fd, bytes, n) && !close(fd), "%s: %s", name,
              strerror(errno));
}

/* A folder with the images that SHORT, FAST and DIVERGING name. */
static void prepare(void)
{
    memset(&how, 0, sizeof how);
    folder_make();
    write_images(in_folder("images"));
}
