/*
 * The images and parameters of the table of golden values (vectors.h), by its
 * rules.  Needs common.h.
 */
#pragma once
#include "vectors.h"

enum { TABLE_RECORDS = 40 };

static uint64_t table_draw(uint64_t *s)
{
    return *s = *s * 6364136223846793005 + 1442695040888963407;
}

static double table_unit(uint64_t *s)
{
    return (double)(table_draw(s) >> 11) * 0x1p-52 - 1;
}

/* Writes the 40 records as a user's file. */
static void table_images(const char *name)
{
    static unsigned char records[TABLE_RECORDS][RECORD];
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666), status;
    uint64_t s = 1;
    size_t i, j;

    for (i = 0; i < TABLE_RECORDS; i++) {
        size_t label = i % CLASSES;

        records[i][0] = (unsigned char)label;
        for (j = 1; j < RECORD; j++)
            records[i][j] =
                (unsigned char)(24 * label + (table_draw(&s) >> 59));
    }
    cr_assert(!memcmp(records, "\0\15\20\24\14\31\20\21", 8),
              "the images are not those of the table");
    status = write_all(fd, records, sizeof records);
    cr_assert(!status && !close(fd), "%s: %s", name, strerror(errno));
}

/* Expects that the network is laid out. */
static void table_parameters(double *to)
{
    uint64_t s = 2;
    size_t l, i;

    for (l = 0; l < LAYERS; l++)
        for (i = weighted(l)->theta; i < weighted(l)->bias + weighted(l)->c;
             i++)
            to[i] = table_unit(&s) / sqrt((double)weighted(l)->in);
}

/* The table's value; fails where it has none. */
static double table_value(const char *on, const char *quantity)
{
    size_t i;

    for (i = 0; i < VECTORS; i++)
        if (!strcmp(vectors[i].on, on) &&
            !strcmp(vectors[i].quantity, quantity))
            return vectors[i].value;
    cr_assert(false, "the table has no %s %s", on, quantity);
    return (double)NAN;
}

/* The largest of a column's given values. */
static double column_scale(const char *on, const char *column)
{
    double scale = 0;
    size_t i, step;
    char name[32];

    for (i = 0; i < VECTORS; i++)
        if (!strcmp(vectors[i].on, on) &&
            sscanf(vectors[i].quantity, "track %zu %31s", &step, name) == 2 &&
            !strcmp(name, column))
            scale = fmax(scale, fabs(vectors[i].value));
    return scale;
}
