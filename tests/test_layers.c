/*
 * Section 6, each kind of layer in a small network of its own: its loss
 * against plain loops, every order against differences of the one below,
 * float32 against float64, samples together and one by one; then inputs at
 * which it is hard to compute.
 */
#include "common.h"
#include "plain.h"
#include "slopes.h"

/* --- Small networks by plain loops --- */

enum { SMALL_LAYERS = 16 };
static double plain_value[SMALL_LAYERS][PLAIN_MOST];

/* A linear layer of one sample: of all pixels or, with a window, of each. */
static void plain_weighted(const struct layer *l, size_t *at, const double *x,
                           double *y)
{
    const struct layer *from = l->x;
    const size_t first = *at;
    size_t t;

    if (!l->window) {
        plain_linear(from->h * from->w * from->c, l->c, at, x, y);
    } else if (from->h > 1) {
        plain_conv((struct plain_conv){from->h, from->c, l->c, l->window,
                                       l->stride, !l->plain},
                   at, x, y);
    } else {
        for (t = 0; t < l->w; t++) {
            *at = first;
            plain_linear(from->c, l->c, at, x + t * from->c, y + t * l->c);
        }
    }
}

/* One layer's output for sample i of a set, from those before it. */
static void plain_layer(const struct set *s, size_t i, size_t number,
                        size_t *at)
{
    const struct layer *l = &net.layer[number];
    const size_t back = l->from ? l->from : number > 0;
    const double *x = plain_value[number - back];
    const size_t pixels = l->h * l->w;
    double *y = plain_value[number];
    size_t j;

    switch (l->kind) {
    case LINEAR:
        plain_weighted(l, at, x, y);
        break;
    case SWISH:
        if (l->pool > 1) {
            plain_pool(l->h * l->pool, l->c, l->pool, x, y);
            break;
        }
        memcpy(y, x, pixels * l->c * sizeof *y);
        plain_bend(pixels * l->c, y);
        break;
    case NORM:
        memcpy(y, x, pixels * l->c * sizeof *y);
        plain_normed(pixels, l->c, l->groups, at, y);
        break;
    case ADD:
        for (j = 0; j < pixels * l->c; j++)
            y[j] = x[j] + plain_value[number - l->with][j];
        break;
    case MEAN:
        plain_average(l->x->h * l->x->w, l->c, x, y);
        break;
    case EMBED:
        plain_embed(s->tokens[i], l->w, l->c, at, y);
        break;
    case ATTEND:
        plain_attention(l->w, l->c, l->heads, plain_value[number - 3],
                        plain_value[number - 2], x, y);
        break;
    default:
        plain_image(s, i, y);
        break;
    }
}

static void plain_small(const struct set *s, size_t i, double *f)
{
    size_t at = 0, number;

    cr_assert(net.layers <= SMALL_LAYERS, "%zu layers", net.layers);
    if (sentences())
        plain_layer(s, i, 0, &at);
    else
        plain_image(s, i, plain_value[0]);
    for (number = 1; number < net.layers; number++)
        plain_layer(s, i, number, &at);
    cr_assert(at == net.params, "%zu parameters, not %zu", at, net.params);
    memcpy(f, plain_value[net.layers - 1], net.classes * sizeof *f);
}

/* --- What is checked of each --- */

static struct network small; /* that is looked at */

/* So many samples at a time, in so many parts. */
static void share(size_t tile, size_t parts, size_t flush)
{
    small.tile = tile;
    small.parts = parts;
    small.flush = flush;
    use_table(&small);
}

static void image_network(const struct layer *layers, size_t n)
{
    small = (struct network){.table = layers, .layers = n};
    choose_network(EOS_CNN, EOS_MSE, 5);
    cr_assert(data_load() == EOS_DONE, "%s", failure);
    share(1, 5, 1);
    draw_parameters(1);
}

/* Sentences of any length, of 20 tokens. */
static void sentence_network(const struct layer *layers, size_t n,
                             size_t length)
{
    uint64_t rng = length;
    size_t i, k;

    small = (struct network){.table = layers, .layers = n};
    choose_network(EOS_TRANSFORMER, EOS_LOGISTIC, 5);
    vocabulary = 20;
    train.n = 5;
    train.length = length;
    for (i = 0; i < train.n; i++) {
        train.label[i] = i % 2;
        for (k = 0; k < length; k++)
            train.tokens[i][k] = (uint16_t)whole_number(&rng, 0, 19);
    }
    share(1, 5, 1);
    draw_parameters(1);
}

static void value_agrees(const char *what, double tolerance)
{
    double accuracy, hits, l = loss_on(here, &train, &accuracy);
    double plain = plain_loss_by(plain_small, &train, &hits);

    cr_assert(fabs(l - plain) <= tolerance * plain, "%s: L = %.17g, not %.17g",
              what, l, plain);
    cr_assert(accuracy == hits, "%s: accuracy %g, not %g", what, accuracy,
              hits);
}

/* The other precision first, so that its numbers lie in all memory. */
static void precisions_agree(const char *what, double tolerance)
{
    double error;
    int order;

    for (order = 0; order < ORDERS; order++) {
        config.deriv = EOS_F32;
        derivative(order, direction, found);
        config.deriv = EOS_F64;
        derivative(order, direction, wanted);
        error = relative_error(net.params, found, wanted);
        cr_assert(error <= tolerance, "%s, order %d: float32 is off by %g",
                  what, order, error);
        cr_assert(error > 0, "%s, order %d: float32 was not used", what, order);
    }
}

/* Samples one by one; together, three in the last part but one, which ends
 * within a tile; all in one part. */
static void tiles_agree(const char *what)
{
    static const size_t ways[][3] = {{2, 2, 1}, {3, 1, 3}};
    static double alone[ORDERS][P_MAX];
    double error;
    size_t i;
    int order;

    for (order = 0; order < ORDERS; order++)
        derivative(order, direction, alone[order]);
    for (i = 0; i < 2; i++) {
        share(ways[i][0], ways[i][1], ways[i][2]);
        for (order = 0; order < ORDERS; order++) {
            derivative(order, direction, found);
            error = relative_error(net.params, found, alone[order]);
            cr_assert(error <= 1e-13, "%s, tile %zu, order %d: off by %g", what,
                      ways[i][0], order, error);
        }
    }
    share(1, 5, 1);
}

/* Measured: values 1.6e-15, slopes 4e-10, float32 7.4e-6, tiles 1.3e-15, at
 * most. */
static void layer_is_right(const char *what)
{
    value_agrees(what, 1e-13);
    slopes_agree(what, 0.005, 2e-9);
    precisions_agree(what, 2e-5);
    tiles_agree(what);
}

#define COUNT(table) sizeof table / sizeof *table
#define IMAGE_TEST(name, ...)                                           \
    Test(layers, name)                                                  \
    {                                                                   \
        static const struct layer table[] = {TRUNK, __VA_ARGS__, FLAT}; \
                                                                        \
        image_network(table, COUNT(table));                             \
        layer_is_right(#name);                                          \
    }
#define SENTENCE_TEST(name, length, ...)               \
    Test(layers, name)                                 \
    {                                                  \
        static const struct layer table[] = {          \
            __VA_ARGS__, {.kind = MEAN}, FLAT};        \
                                                       \
        sentence_network(table, COUNT(table), length); \
        layer_is_right(#name);                         \
    }

/* clang-format off */
/* 8 x 8 pixels with 16 channels; what ends a network. */
#define TRUNK                                                               \
    {.kind = IMAGE, .c = CHANNELS}, {.kind = LINEAR, .c = 16, .window = 3}, \
    {.kind = SWISH, .pool = 4}
#define FLAT {.kind = LINEAR}
#define CONV(C, WINDOW, STRIDE) \
    {.kind = LINEAR, .c = C, .window = WINDOW, .stride = STRIDE}
#define PLAIN(C, WINDOW, STRIDE) \
    {.kind = LINEAR, .c = C, .window = WINDOW, .stride = STRIDE, .plain = true}
#define FROM(BACK, C, WINDOW, STRIDE) \
    {.kind = LINEAR, .c = C, .window = WINDOW, .stride = STRIDE, .from = BACK}
#define BEND {.kind = SWISH}
#define POOL {.kind = SWISH, .pool = 2}
#define GROUPS(N) {.kind = NORM, .groups = N}
#define PIXELWISE {.kind = NORM}
#define WITH(BACK) {.kind = ADD, .with = BACK}
#define AVERAGE {.kind = MEAN}

/* --- Layers of images --- */

/* Groups of one, two, three and eight channels. */
IMAGE_TEST(norm_of_16_channels, PLAIN(16, 3, 1), GROUPS(16), POOL)
IMAGE_TEST(norm_of_32_channels, PLAIN(32, 3, 1), GROUPS(16), POOL)
IMAGE_TEST(norm_of_48_channels, CONV(48, 3, 1), GROUPS(16), POOL)
IMAGE_TEST(norm_of_128_channels, CONV(128, 1, 1), GROUPS(16), POOL)
IMAGE_TEST(norm_of_one_group, CONV(48, 3, 1), GROUPS(1), BEND)
/* Of what a convolution with a window reads, and of that layer itself. */
IMAGE_TEST(norm_inside_borders, CONV(32, 3, 1), GROUPS(16), CONV(16, 3, 1),
           BEND)

/* The skip is read last by the sum ... */
IMAGE_TEST(sum_of_a_skip, PLAIN(16, 3, 1), GROUPS(16), WITH(3), BEND)
/* ... and by another one, after the sum: three layers add to its delta. */
IMAGE_TEST(sum_before_another_reader, CONV(16, 1, 1), WITH(2), BEND,
           FROM(4, 16, 3, 1), GROUPS(16), WITH(3), POOL)
/* Both of what is added have but one reader. */
IMAGE_TEST(sum_of_two_branches, PLAIN(32, 3, 2), GROUPS(16),
           FROM(3, 32, 1, 2), GROUPS(16), WITH(3), BEND)
/* The skip has a border, the sum has none. */
IMAGE_TEST(sum_with_what_has_a_border, CONV(16, 3, 1), GROUPS(16), BEND,
           CONV(16, 3, 1), GROUPS(16), WITH(3), BEND)

IMAGE_TEST(mean_of_pixels, CONV(32, 3, 1), BEND, AVERAGE)
IMAGE_TEST(mean_of_what_is_normalised, CONV(48, 3, 1), GROUPS(16), AVERAGE)
IMAGE_TEST(mean_of_one_pixel, {.kind = SWISH, .pool = 8}, AVERAGE)
IMAGE_TEST(mean_of_what_others_read, CONV(16, 1, 1), BEND, CONV(16, 3, 1),
           GROUPS(16), WITH(3), BEND, AVERAGE)

IMAGE_TEST(stride_3x3, CONV(32, 3, 2), BEND)
IMAGE_TEST(stride_3x3_to_one_pixel, PLAIN(16, 3, 2), BEND, PLAIN(48, 3, 2),
           BEND, CONV(32, 3, 2), BEND)
IMAGE_TEST(stride_1x1, CONV(32, 1, 2), BEND)
IMAGE_TEST(stride_1x1_without_biases, PLAIN(48, 1, 2), BEND, PLAIN(16, 1, 2),
           BEND)
IMAGE_TEST(stride_of_three_and_four, CONV(32, 3, 4), BEND)
IMAGE_TEST(stride_for_one_reader_of_two, CONV(32, 3, 2), GROUPS(16), BEND,
           CONV(16, 1, 1), FROM(5, 16, 1, 2), WITH(2), BEND)
IMAGE_TEST(line_with_biases, CONV(48, 1, 1), BEND)
IMAGE_TEST(line_without_biases, PLAIN(32, 1, 1), BEND)
IMAGE_TEST(window_without_biases, PLAIN(48, 3, 1), BEND)

/* --- Layers of sentences --- */

#define TOKENS_OF(C) {.kind = EMBED, .c = C}
#define ATTEND(C, HEADS)                                                    \
    FROM(1, C, 1, 1), FROM(2, C, 1, 1), FROM(3, C, 1, 1),                   \
    {.kind = ATTEND, .heads = HEADS}

SENTENCE_TEST(embedding, 9, TOKENS_OF(32), BEND)
SENTENCE_TEST(embedding_of_one_token, 1, TOKENS_OF(16), BEND)
SENTENCE_TEST(embedding_of_64_tokens, 64, TOKENS_OF(48), BEND)
SENTENCE_TEST(norm_of_pixels, 9, TOKENS_OF(48), PIXELWISE, BEND)
SENTENCE_TEST(norm_of_one_token, 1, TOKENS_OF(64), PIXELWISE, BEND)
SENTENCE_TEST(attention_1_head, 17, TOKENS_OF(32), ATTEND(32, 1))
SENTENCE_TEST(attention_2_heads, 15, TOKENS_OF(32), ATTEND(32, 2))
SENTENCE_TEST(attention_3_heads, 7, TOKENS_OF(48), ATTEND(48, 3))
SENTENCE_TEST(attention_of_one_token, 1, TOKENS_OF(32), ATTEND(32, 2))
SENTENCE_TEST(attention_of_16_tokens, 16, TOKENS_OF(16), ATTEND(16, 1))
SENTENCE_TEST(attention_of_64_tokens, 64, TOKENS_OF(64), ATTEND(64, 2))
SENTENCE_TEST(attention_twice_and_sums, 5, TOKENS_OF(32), ATTEND(32, 2),
              WITH(5), PIXELWISE, ATTEND(32, 1), WITH(5), BEND)
/* clang-format on */

/* --- Hard cases --- */

static void scale_layer(size_t number, double factor, double *x)
{
    const struct layer *l = &net.layer[number];
    size_t i;

    for (i = l->theta; i < l->end; i++)
        x[i] *= factor;
}

static void add_to_biases(size_t number, double a)
{
    const struct layer *l = &net.layer[number];
    size_t i;

    for (i = l->bias; i < l->end; i++)
        theta[i] += a;
}

/* Over all samples, heads and pairs of tokens, the scores of the attention
 * that reads layers 1 and 2: the least and the largest. */
static void score_range(size_t heads, double *least, double *most)
{
    const size_t c = net.layer[1].c, d = c / heads, t = train.length;
    double f[CLASSES], score;
    size_t i, a, b, h;

    *least = INFINITY;
    *most = -INFINITY;
    for (i = 0; i < train.n; i++) {
        plain_small(&train, i, f);
        for (a = 0; a < t; a++)
            for (b = 0; b < t; b++)
                for (h = 0; h < c; h += d) {
                    score = plain_dot(d, plain_value[1] + a * c + h,
                                      plain_value[2] + b * c + h) /
                            sqrt((double)d);
                    *least = fmin(*least, score);
                    *most = fmax(*most, score);
                }
    }
}

static const struct layer attentive[] = {TOKENS_OF(32), ATTEND(32, 2), AVERAGE,
                                         FLAT};

/* A softmax that is 0 or 1 but for where two scores are near each other.  A
 * float32 score of 200 has an error of 1e-5: measured, 4.8e-5. */
Test(hard, attention_scores_of_200)
{
    double least, most;

    sentence_network(attentive, COUNT(attentive), 17);
    score_range(2, &least, &most);
    scale_layer(1, 200 / fmax(-least, most), theta);
    score_range(2, &least, &most);
    cr_assert(fabs(fmax(-least, most) - 200) < 1e-9 && least < -100 &&
                  most > 100,
              "scores of %g to %g", least, most);
    vec_scale(net.params, direction, 0.02, direction);
    here = point_at(theta);
    value_agrees("scores of 200", 1e-13);
    slopes_agree("scores of 200", 0.005, 2e-9);
    precisions_agree("scores of 200", 2e-4);
}

/* Far from zero, and all alike: what fills a row up to whole vectors is as far
 * above or below.  Measured with float32: 2.9e-5. */
static void scores_are_far(double offset)
{
    const double bias = sqrt(fabs(offset) / sqrt(16));
    double least, most;

    sentence_network(attentive, COUNT(attentive), 17);
    add_to_biases(1, offset < 0 ? -bias : bias);
    add_to_biases(2, bias);
    score_range(2, &least, &most);
    cr_assert(least > offset - 200 && most < offset + 200, "scores of %g to %g",
              least, most);
    vec_scale(net.params, direction, 0.02, direction);
    here = point_at(theta);
    value_agrees("scores far off", 1e-13);
    slopes_agree("scores far off", 0.005, 2e-9);
    precisions_agree("scores far off", 2e-4);
}

Test(hard, attention_scores_around_1000)
{
    scores_are_far(1000);
}
Test(hard, attention_scores_around_minus_1000)
{
    scores_are_far(-1000);
}

/* All tokens the same, places too: every weight of attention is 1 / length, and
 * the loss that of a sentence of one token. */
Test(hard, sentences_of_one_token_again_and_again)
{
    const struct layer *l;
    double accuracy, hits, all, plain;
    size_t i, k, t, place;

    set_up(EOS_TRANSFORMER, EOS_LOGISTIC, 4, 2);
    l = net.layer;
    for (i = 0; i < train.n; i++)
        for (k = 0; k < train.length; k++)
            train.tokens[i][k] = (uint16_t)(i + 1);
    place = l->theta + vocabulary * l->c;
    for (t = 1; t < SENTENCE; t++)
        memcpy(theta + place + t * l->c, theta + place, l->c * sizeof *theta);
    here = point_at(theta);
    all = loss_on(here, &train, &accuracy);
    plain = plain_loss(&train, &hits);
    cr_assert(fabs(all - plain) <= 1e-12 * plain, "L = %.17g, not %.17g", all,
              plain);
    slopes_agree("equal tokens", 0.02, 2e-9);
    precisions_agree("equal tokens", 1e-5);
    train.length = 1;
    plain = loss_on(here, &train, &accuracy);
    cr_assert(fabs(all - plain) <= 1e-14 * plain,
              "one token: L = %.17g, not %.17g", plain, all);
}

/* All channels of a token the same: the variance is 0, the slope of what is
 * normalised 1000, and the output the shift. */
Test(hard, channels_that_are_equal)
{
    static const struct layer table[] = {TOKENS_OF(48), PIXELWISE, BEND,
                                         AVERAGE, FLAT};
    size_t i;

    sentence_network(table, COUNT(table), 9);
    for (i = 0; i < net.layer[0].end; i++)
        theta[i] = 0.25 * (double)(i / 48 % 7);
    vec_scale(net.params, direction, 1e-3, direction);
    here = point_at(theta);
    value_agrees("equal channels", 1e-13);
    slopes_agree("equal channels", 0.05, 2e-9);
    precisions_agree("equal channels", 1e-5);
}

static void fill_image(size_t i, int byte)
{
    memset(train.rows[i], byte, PIXELS);
}

/* An image that is the same everywhere: each channel's variance is 0, and what
 * rounding leaves of x - m comes out 1000 times as large.  Measured: 1.4e-12 of
 * L, 2.6e-9 of the slopes, 3.3e-3 with float32, which sums 1024 for a mean. */
Test(hard, an_image_without_contrast)
{
    static const struct layer table[] = {{.kind = IMAGE, .c = CHANNELS},
                                         CONV(16, 1, 1),
                                         GROUPS(16),
                                         {.kind = SWISH, .pool = 4},
                                         FLAT};

    image_network(table, COUNT(table));
    fill_image(0, 30);
    fill_image(3, 200);
    cr_assert(data_normalise() == EOS_DONE, "%s", failure);
    value_agrees("no contrast", 1e-11);
    slopes_agree("no contrast", 0.01, 2e-8);
    precisions_agree("no contrast", 1e-2);
}

/* The first image and its negative make the third their mean, without
 * contrast: its stem is 0, and so is the variance of every group there.
 * Measured with float32: 1.5e-4. */
Test(hard, resnet18_of_an_image_without_contrast)
{
    double accuracy, hits, found, plain;
    size_t i;

    set_up(EOS_RESNET18, EOS_CE, 3, 2);
    for (i = 0; i < PIXELS; i++)
        train.rows[1][i] = (unsigned char)(256 - (train.rows[0][i] |= 1));
    fill_image(2, 128);
    cr_assert(data_normalise() == EOS_DONE, "%s", failure);
    found = loss_on(here, &train, &accuracy);
    plain = plain_loss(&train, &hits);
    cr_assert(fabs(found - plain) <= 1e-12 * plain, "L = %.17g, not %.17g",
              found, plain);
    slopes_agree("no contrast", 0.00125, 2e-9);
    precisions_agree("no contrast", 1e-3);
}

/* --- What the tables must be like --- */

/* Layers that work in place need their input for themselves; a matrix of a
 * whole image, a row of a window and a head's columns lie without gaps. */
static const char *layer_wrong(const struct layer *l)
{
    const struct layer *x = l->x;
    const bool in_place = l->kind == SWISH || l->kind == NORM || l->kind == ADD;

    if (in_place && x->readers != 1)
        return "another layer reads what this one overwrites";
    if (in_place && !x->stored && x->delta != x->value)
        return "delta of its input is not where it writes it";
    if (l->kind == ADD &&
        (l->border != x->border || l->readers != 1 || l->delta != x->delta))
        return "a sum is not in the place of its input";
    if (l->kind == NORM && l->c > CHANNELS_MAX)
        return "too many channels";
    if (l->kind == NORM && !l->groups && l->h > 1)
        return "pixels of an image are normalised one by one";
    if ((l->kind == NORM || l->kind == EMBED) && l->c % PAD)
        return "its channels are no whole vectors";
    if (l->kind == ATTEND && l->c / l->heads % PAD)
        return "a head's columns are no whole vectors";
    if (l->kind == ATTEND &&
        (x->readers != 1 || x[-1].readers || x[-2].readers || l->h != 1))
        return "queries, keys and values are read by others";
    if (l->kind == LINEAR && !l->window && x->border)
        return "a matrix reads an image with a border";
    if (l->window && x->kind != IMAGE && x->row != x->c)
        return "a window's taps are apart";
    if ((l->kind == ADD || l->kind == MEAN) && x->degree < ORDERS - 1)
        return "its input has fewer coefficients";
    if (l->border && l->delta != l->value && l->window > 1)
        return "nobody clears the border of its delta";
    return NULL;
}

Test(tables, have_what_the_layers_rely_on)
{
    size_t model, i;

    vocabulary = 100;
    train.length = SENTENCE;
    for (model = 0; model < 4; model++) {
        use_network((enum eos_model)model, EOS_LOGISTIC, 8);
        for (i = 1; i < net.layers; i++)
            cr_assert(layer_wrong(&net.layer[i]) == NULL, "%s, layer %zu: %s",
                      model_names[model], i, layer_wrong(&net.layer[i]));
    }
}
