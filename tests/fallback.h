/*
 * Criterion's Test and cr_assert for where Criterion is not: under qemu, on
 * another architecture, with sanitizers.  Each test runs in a process of its
 * own, as Criterion's do, so that static variables are fresh.  An argument
 * selects the tests whose "suite/name" contains it.
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FALLBACK_MAX = 500 };
static struct {
    const char *title;
    void (*run)(void);
} fallback[FALLBACK_MAX];
static size_t fallback_tests;

#define Test(suite, name)                                               \
    static void suite##_##name(void);                                   \
    __attribute__((constructor)) static void suite##_##name##_add(void) \
    {                                                                   \
        if (fallback_tests == FALLBACK_MAX)                             \
            abort();                                                    \
        fallback[fallback_tests].title = #suite "/" #name;              \
        fallback[fallback_tests++].run = suite##_##name;                \
    }                                                                   \
    static void suite##_##name(void)

#define cr_assert(ok, ...)                         \
    do {                                           \
        if (!(ok)) {                               \
            printf("%s:%d: ", __FILE__, __LINE__); \
            printf(__VA_ARGS__);                   \
            printf("\n");                          \
            exit(1);                               \
        }                                          \
    } while (0)

#define cr_skip_test(why)             \
    do {                              \
        printf("skipped: " why "\n"); \
        exit(0);                      \
    } while (0)

int main(int argc, char **argv)
{
    int bad = 0, status;
    size_t i, ran = 0;

    for (i = 0; i < fallback_tests; i++) {
        if (argc > 1 && !strstr(fallback[i].title, argv[1]))
            continue;
        ran++;
        fflush(stdout);
        if (fork() == 0) {
            fallback[i].run();
            exit(0);
        }
        if (wait(&status) < 0 || status) {
            printf("FAILED %s\n", fallback[i].title);
            bad = 1;
        }
    }
    printf("%zu tests: %s\n", ran, bad ? "some failed" : "all passed");
    return bad || !ran;
}
