/*
 * The networks by plain loops, straight from the specification: what the
 * tests compare values with.  Needs common.h.
 */
#pragma once

/* --- Images --- */

static double plain_mean[3], plain_std[3];

static void plain_statistics(void)
{
    size_t i, at, c, count = train.n * 1024;

    for (c = 0; c < 3; c++) {
        long double mean = 0, variance = 0;

        for (i = 0; i < train.n; i++)
            for (at = c; at < 3072; at += 3)
                mean += train.rows[i][at];
        mean /= count;
        for (i = 0; i < train.n; i++)
            for (at = c; at < 3072; at += 3)
                variance +=
                    (train.rows[i][at] - mean) * (train.rows[i][at] - mean);
        plain_mean[c] = (double)mean;
        plain_std[c] = (double)sqrtl(variance / count);
    }
}

static void plain_image(const struct set *s, size_t i, double *x)
{
    size_t j;

    for (j = 0; j < 3072; j++)
        x[j] = (s->rows[i][j] - plain_mean[j % 3]) / plain_std[j % 3];
}

/* --- Layers; *at moves past the parameters that one takes --- */

static double plain_swish(double z)
{
    return z / (1 + exp(-z));
}

/* swish of each, in place. */
static void plain_bend(size_t n, double *x)
{
    while (n--)
        x[n] = plain_swish(x[n]);
}

/* y = x W + b, W [in][out]. */
static void plain_linear(size_t in, size_t out, size_t *at, const double *x,
                         double *y)
{
    const double *w = theta + *at, *b = w + in * out;
    size_t i, o;

    for (o = 0; o < out; o++) {
        long double sum = b[o];

        for (i = 0; i < in; i++)
            sum += (long double)x[i] * w[i * out + o];
        y[o] = (double)sum;
    }
    *at += in * out + out;
}

/* A convolution: of an image [side][side][in], by a kernel
 * [window][window][in][out], and biases unless it is without. */
struct plain_conv {
    size_t side, in, out, window, stride;
    bool bias;
};

/* The sum over a window, whose padding is zero, for output channel o. */
static long double plain_window(const struct plain_conv *k, size_t r, size_t c,
                                size_t o, const double *w, const double *x)
{
    const int half = (int)k->window / 2;
    long double sum = 0;
    size_t i, kh, kw;

    for (kh = 0; kh < k->window; kh++)
        for (kw = 0; kw < k->window; kw++) {
            const int y = (int)(r * k->stride + kh) - half;
            const int z = (int)(c * k->stride + kw) - half;
            const double *g = w + (kh * k->window + kw) * k->in * k->out + o;
            const double *pixel;

            if (y < 0 || z < 0 || y >= (int)k->side || z >= (int)k->side)
                continue;
            pixel = x + ((size_t)y * k->side + (size_t)z) * k->in;
            for (i = 0; i < k->in; i++)
                sum += (long double)pixel[i] * g[i * k->out];
        }
    return sum;
}

static void plain_conv(const struct plain_conv k, size_t *at, const double *x,
                       double *y)
{
    const size_t weights = k.window * k.window * k.in * k.out;
    const size_t side = k.side / k.stride;
    const double *w = theta + *at, *b = w + weights;
    size_t r, c, o;

    for (r = 0; r < side; r++)
        for (c = 0; c < side; c++)
            for (o = 0; o < k.out; o++)
                y[(r * side + c) * k.out + o] =
                    (double)(plain_window(&k, r, c, o, w, x) +
                             (k.bias ? b[o] : 0));
    *at += weights + (k.bias ? k.out : 0);
}

/* swish, then the mean of each pool x pool. */
static void plain_pool(size_t side, size_t channels, size_t pool,
                       const double *z, double *y)
{
    const size_t half = side / pool;
    size_t r, c, o, i, j;

    for (r = 0; r < half; r++)
        for (c = 0; c < half; c++)
            for (o = 0; o < channels; o++) {
                const double *p =
                    z + (pool * r * side + pool * c) * channels + o;
                double sum = 0;

                for (i = 0; i < pool; i++)
                    for (j = 0; j < pool; j++)
                        sum += plain_swish(p[(i * side + j) * channels]);
                y[(r * half + c) * channels + o] = sum / (double)(pool * pool);
            }
}

/* What is normalised together: `width` channels of each of some pixels. */
static void plain_region(size_t pixels, size_t channels, size_t width,
                         const double *gain, const double *shift, double *x)
{
    const size_t n = pixels * width;
    long double mean = 0, variance = 0, root;
    size_t i;

    for (i = 0; i < n; i++)
        mean += x[i / width * channels + i % width];
    mean /= n;
    for (i = 0; i < n; i++) {
        long double d = x[i / width * channels + i % width] - mean;

        variance += d * d;
    }
    root = sqrtl(variance / n + 1e-6L);
    for (i = 0; i < n; i++) {
        double *to = x + i / width * channels + i % width;

        *to =
            (double)((*to - mean) / root * gain[i % width] + shift[i % width]);
    }
}

/* Of groups of channels over all pixels or, without groups, of each pixel. */
static void plain_normed(size_t pixels, size_t channels, size_t groups,
                         size_t *at, double *x)
{
    const double *gain = theta + *at, *shift = gain + channels;
    const size_t width = channels / (groups ? groups : 1);
    size_t i;

    for (i = 0; i < channels && groups; i += width)
        plain_region(pixels, channels, width, gain + i, shift + i, x + i);
    for (i = 0; i < pixels && !groups; i++)
        plain_region(1, channels, width, gain, shift, x + i * channels);
    *at += 2 * channels;
}

static void plain_average(size_t pixels, size_t channels, const double *x,
                          double *y)
{
    size_t i, c;

    for (c = 0; c < channels; c++) {
        long double sum = 0;

        for (i = 0; i < pixels; i++)
            sum += x[i * channels + c];
        y[c] = (double)(sum / pixels);
    }
}

/* Rows of tokens and of their places. */
static void plain_embed(const uint16_t *tokens, size_t length, size_t width,
                        size_t *at, double *y)
{
    const double *token = theta + *at, *place = token + vocabulary * width;
    size_t t, c;

    for (t = 0; t < length; t++)
        for (c = 0; c < width; c++)
            y[t * width + c] =
                token[tokens[t] * width + c] + place[t * width + c];
    *at += (vocabulary + 64) * width;
}

/* The query of a token against all keys, and the mean of the values by the
 * softmax of that; d channels of a head, a token's values `width` apart. */
static void plain_query(size_t length, size_t width, size_t d, const double *q,
                        const double *k, const double *v, double *y)
{
    long double p[64], most = -INFINITY, total = 0;
    size_t t, c;

    for (t = 0; t < length; t++) {
        p[t] = 0;
        for (c = 0; c < d; c++)
            p[t] += (long double)q[c] * k[t * width + c];
        p[t] /= sqrtl((long double)d);
        most = fmaxl(most, p[t]);
    }
    for (t = 0; t < length; t++)
        total += p[t] = expl(p[t] - most);
    for (c = 0; c < d; c++) {
        long double sum = 0;

        for (t = 0; t < length; t++)
            sum += p[t] / total * v[t * width + c];
        y[c] = (double)sum;
    }
}

static void plain_attention(size_t length, size_t width, size_t heads,
                            const double *q, const double *k, const double *v,
                            double *y)
{
    const size_t d = width / heads;
    size_t t, h;

    for (t = 0; t < length; t++)
        for (h = 0; h < width; h += d)
            plain_query(length, width, d, q + t * width + h, k + h, v + h,
                        y + t * width + h);
}

/* --- Networks: the outputs for sample i of a set --- */

static void plain_mlp(const double *image, double *f)
{
    double a[200], z[200];
    size_t at = 0;

    plain_linear(3072, 200, &at, image, z);
    plain_bend(200, z);
    plain_linear(200, 200, &at, z, a);
    plain_bend(200, a);
    plain_linear(200, net.classes, &at, a, f);
}

static void plain_cnn(const double *image, double *f)
{
    static double z[32 * 32 * 32], a[16 * 16 * 32];
    size_t at = 0;

    plain_conv((struct plain_conv){32, 3, 32, 3, 1, true}, &at, image, z);
    plain_pool(32, 32, 2, z, a);
    plain_conv((struct plain_conv){16, 32, 32, 3, 1, true}, &at, a, z);
    plain_pool(16, 32, 2, z, a);
    plain_linear(2048, net.classes, &at, a, f);
}

enum { PLAIN_MOST = 32 * 32 * 16 }; /* numbers between two layers */

/* x, an image [side][side][in], becomes one with `out` channels. */
static void plain_block(size_t side, size_t in, size_t out, size_t *at,
                        double *x)
{
    static double y[PLAIN_MOST], z[PLAIN_MOST];
    const size_t stride = in == out ? 1 : 2, half = side / stride;
    size_t i;

    plain_conv((struct plain_conv){side, in, out, 3, stride, false}, at, x, y);
    plain_normed(half * half, out, 16, at, y);
    plain_bend(half * half * out, y);
    plain_conv((struct plain_conv){half, out, out, 3, 1, false}, at, y, z);
    plain_normed(half * half, out, 16, at, z);
    if (in == out) {
        memcpy(y, x, sizeof y);
    } else {
        plain_conv((struct plain_conv){side, in, out, 1, 2, false}, at, x, y);
        plain_normed(half * half, out, 16, at, y);
    }
    for (i = 0; i < half * half * out; i++)
        x[i] = plain_swish(z[i] + y[i]);
}

static void plain_resnet(const double *image, double *f)
{
    static double x[PLAIN_MOST], mean[128];
    size_t at = 0, side = 32, c = 16;

    plain_conv((struct plain_conv){32, 3, 16, 3, 1, false}, &at, image, x);
    plain_normed(1024, 16, 16, &at, x);
    plain_bend(PLAIN_MOST, x);
    plain_block(side, c, c, &at, x);
    plain_block(side, c, c, &at, x);
    for (; c < 128; c *= 2, side /= 2) {
        plain_block(side, c, 2 * c, &at, x);
        plain_block(side / 2, 2 * c, 2 * c, &at, x);
    }
    plain_average(16, 128, x, mean);
    plain_linear(128, net.classes, &at, mean, f);
}

/* A linear layer of 64 to 64 for each token. */
static void plain_line(size_t length, size_t *at, const double *x, double *y)
{
    const size_t first = *at;
    size_t t;

    for (t = 0; t < length; t++) {
        *at = first;
        plain_linear(64, 64, at, x + t * 64, y + t * 64);
    }
}

/* h = norm(h + y) */
static void plain_joined(size_t length, size_t *at, const double *y, double *h)
{
    size_t i;

    for (i = 0; i < length * 64; i++)
        h[i] += y[i];
    plain_normed(length, 64, 0, at, h);
}

static void plain_encoder(size_t length, size_t *at, double *h)
{
    static double q[64 * 64], k[64 * 64], v[64 * 64], y[64 * 64];

    plain_line(length, at, h, q);
    plain_line(length, at, h, k);
    plain_line(length, at, h, v);
    plain_attention(length, 64, 2, q, k, v, y);
    plain_line(length, at, y, v);
    plain_joined(length, at, v, h);
    plain_line(length, at, h, y);
    plain_bend(length * 64, y);
    plain_line(length, at, y, v);
    plain_joined(length, at, v, h);
}

static void plain_transformer(const uint16_t *tokens, size_t length, double *f)
{
    static double h[64 * 64], mean[64];
    size_t at = 0;

    plain_embed(tokens, length, 64, &at, h);
    plain_encoder(length, &at, h);
    plain_encoder(length, &at, h);
    plain_average(length, 64, h, mean);
    plain_linear(64, 1, &at, mean, f);
}

static void plain_outputs(const struct set *s, size_t i, double *f)
{
    static double x[3072];

    if (config.model == EOS_TRANSFORMER) {
        plain_transformer(s->tokens[i], s->length, f);
        return;
    }
    plain_image(s, i, x);
    if (config.model == EOS_MLP)
        plain_mlp(x, f);
    else if (config.model == EOS_CNN)
        plain_cnn(x, f);
    else
        plain_resnet(x, f);
}

/* --- Losses --- */

static double plain_loss_of(const double *f, int label)
{
    double loss = 0, y = label ? 1 : -1;
    size_t c;

    switch (config.loss) {
    case EOS_MSE:
        for (c = 0; c < 10; c++)
            loss += pow(f[c] - (c == (size_t)label), 2);
        return loss;
    case EOS_CE:
        for (c = 0; c < 10; c++)
            loss += exp(f[c] - f[label]);
        return log(loss);
    case EOS_BMSE:
        return (f[0] - y) * (f[0] - y);
    default:
        return log1p(exp(-f[0] * y));
    }
}

/* The mean loss, by any function for the outputs. */
static double plain_loss_by(void (*outputs)(const struct set *, size_t,
                                            double *),
                            const struct set *s, double *accuracy)
{
    double f[CLASSES], loss = 0;
    size_t i, c, best, hits = 0;

    if (!sentences())
        plain_statistics();
    for (i = 0; i < s->n; i++) {
        outputs(s, i, f);
        loss += plain_loss_of(f, s->label[i]);
        for (best = 0, c = 1; c < net.classes; c++)
            if (f[c] > f[best])
                best = c;
        hits += net.classes > 1 ? best == s->label[i]
                                : (s->label[i] ? f[0] > 0 : f[0] < 0);
    }
    *accuracy = (double)hits / (double)s->n;
    return loss / (double)s->n;
}

static double plain_loss(const struct set *s, double *accuracy)
{
    return plain_loss_by(plain_outputs, s, accuracy);
}
