#include "cm_kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT 11
#define BUCKETS (1 << DIGIT)

/* Words in the order of the floats they come from. */
static inline uint32_t to_key(uint32_t word) {
    return word ^ (word >> 31 ? UINT32_MAX : (uint32_t)1 << 31);
}

static inline uint32_t from_key(uint32_t key) {
    return key ^ (key >> 31 ? (uint32_t)1 << 31 : UINT32_MAX);
}

static inline uint32_t load(const void *words, size_t i) {
    uint32_t word;
    memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
    return word;
}

static inline void store(void *words, size_t i, uint32_t word) {
    memcpy((char *)words + i * sizeof word, &word, sizeof word);
}

/* One pass over a digit of keys; `start` are its buckets' first places. */
static void scatter(const void *from, void *to, size_t n, size_t *start, int shift) {
    for (size_t i = 0; i < n; i++) {
        uint32_t key = load(from, i);
        store(to, start[key >> shift & (BUCKETS - 1)]++, key);
    }
}

cm_status cm_sort_float32(float *values, size_t n) {
    if (n < 2) return CM_OK;
    uint32_t *keys = malloc(n * sizeof *keys);
    size_t(*starts)[BUCKETS] = calloc(3, sizeof *starts);
    if (!keys || !starts) {
        free(keys);
        free(starts);
        return CM_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t key = keys[i] = to_key(load(values, i));
        starts[0][key & (BUCKETS - 1)]++;
        starts[1][key >> DIGIT & (BUCKETS - 1)]++;
        starts[2][key >> 2 * DIGIT]++;
    }
    for (int pass = 0; pass < 3; pass++) {
        size_t *start = starts[pass], total = 0;
        for (int b = 0; b < BUCKETS; b++) {
            size_t here = start[b];
            start[b] = total;
            total += here;
        }
    }
    scatter(keys, values, n, starts[0], 0);
    scatter(values, keys, n, starts[1], DIGIT);
    scatter(keys, values, n, starts[2], 2 * DIGIT);
    for (size_t i = 0; i < n; i++) store(values, i, from_key(load(values, i)));
    free(keys);
    free(starts);
    return CM_OK;
}

void cm_prefix_sums(const float *sorted, size_t n, double *sums) {
    double total = 0;
    for (size_t block = 0; block < n / CM_SUMS; block++, sorted += CM_SUMS) {
        sums[block] = total;
        for (size_t i = 0; i < CM_SUMS; i++) total += sorted[i];
    }
    sums[n / CM_SUMS] = total;
}

/* Sum of the first `count` values, added in their order. */
static double sum_of(const float *sorted, const double *sums, size_t count) {
    double total = sums[count / CM_SUMS];
    for (size_t i = count - count % CM_SUMS; i < count; i++) total += sorted[i];
    return total;
}

/* Number of sorted values that are at most `limit`. */
static size_t count_up_to(const float *sorted, size_t n, double limit) {
    size_t low = 0;
    while (low < n) {
        size_t middle = low + (n - low) / 2;
        if (sorted[middle] <= limit) low = middle + 1;
        else n = middle;
    }
    return low;
}

size_t cm_lloyd(const float *sorted, const double *sums, size_t n, double *centroids, size_t k,
                size_t max_iter, double tol, size_t *bounds) {
    for (size_t j = 0; j <= k; j++) bounds[j] = j < k ? 0 : n;
    size_t round = 0;
    while (round < max_iter) {
        int changed = round == 0;
        double largest = 0;
        round++;
        for (size_t j = 1; j < k; j++) {
            size_t low = bounds[j - 1]; /* already of this round, and a lower limit */
            double middle = (centroids[j - 1] + centroids[j]) / 2;
            size_t bound = low + count_up_to(sorted + low, n - low, middle);
            changed |= bound != bounds[j];
            bounds[j] = bound;
        }
        if (!changed) break;
        for (size_t j = 0; j < k; j++) {
            size_t size = bounds[j + 1] - bounds[j];
            if (!size) continue;
            double sum = sum_of(sorted, sums, bounds[j + 1]) - sum_of(sorted, sums, bounds[j]);
            double mean = sum / (double)size;
            /* Rounding in the sums must not carry it out of its cluster. */
            mean = fmin(fmax(mean, sorted[bounds[j]]), sorted[bounds[j + 1] - 1]);
            largest = fmax(largest, fabs(mean - centroids[j]));
            centroids[j] = mean;
        }
        if (largest <= tol) break;
    }
    return round;
}

typedef struct {
    const double *weight, *sum, *square; /* prefix sums */
    const double *before;                /* least cost of the first i values in one cluster less */
    double *cost;
    uint16_t *choice; /* first value of the last cluster */
} layer;

/* Sum of squared distances of the values [first, last) from their mean. */
static inline double spread(const layer *l, size_t first, size_t last) {
    double weight = l->weight[last] - l->weight[first];
    double sum = l->sum[last] - l->sum[first];
    double result = l->square[last] - l->square[first] - sum * sum / weight;
    return result > 0 ? result : 0;
}

/* Fills cost[first..last), whose best last cluster begins in [low, high]: the best beginning never
 * moves back as the end moves on. */
static void fill(const layer *l, size_t first, size_t last, size_t low, size_t high) {
    while (first < last) {
        size_t end = first + (last - first) / 2, best = low;
        double least = INFINITY;
        for (size_t begin = low; begin <= high && begin < end; begin++) {
            double cost = l->before[begin] + spread(l, begin, end);
            if (cost < least) {
                least = cost;
                best = begin;
            }
        }
        l->cost[end] = least;
        l->choice[end] = (uint16_t)best;
        fill(l, first, end, low, best);
        first = end + 1;
        low = best;
    }
}

cm_status cm_kmeans_exact(const double *values, const double *weights, size_t n, size_t k,
                          size_t *bounds) {
    if (!k || k > n || n > 65536) return CM_ARGUMENT;
    double *space = malloc(5 * (n + 1) * sizeof *space);
    uint16_t *choices = malloc(k * (n + 1) * sizeof *choices);
    if (!space || !choices) {
        free(space);
        free(choices);
        return CM_MEMORY;
    }
    double *weight = space, *sum = weight + n + 1, *square = sum + n + 1;
    double *before = square + n + 1, *cost = before + n + 1;
    weight[0] = sum[0] = square[0] = 0;
    /* Around their mean the sums of squares lose the fewest digits. */
    double total = 0, centre = 0;
    for (size_t i = 0; i < n; i++) total += weights[i];
    for (size_t i = 0; i < n; i++) centre += values[i] * (weights[i] / total);
    for (size_t i = 0; i < n; i++) {
        double value = values[i] - centre;
        weight[i + 1] = weight[i] + weights[i];
        sum[i + 1] = sum[i] + weights[i] * value;
        square[i + 1] = square[i] + weights[i] * value * value;
    }
    layer l = {weight, sum, square, before, cost, choices};
    for (size_t i = 1; i <= n; i++) cost[i] = spread(&l, 0, i);
    memset(choices, 0, (n + 1) * sizeof *choices);
    for (size_t j = 1; j < k; j++) {
        const double *done = l.cost;
        l.cost = (double *)l.before;
        l.before = done;
        l.choice = choices + j * (n + 1);
        fill(&l, j + 1, n + 1, j, n - 1);
    }
    bounds[k] = n;
    for (size_t j = k; j-- > 0;) bounds[j] = choices[j * (n + 1) + bounds[j + 1]];
    free(space);
    free(choices);
    return CM_OK;
}

size_t cm_kmeans_groups(const float *sorted, size_t n, size_t limit, double *means, double *weights,
                        int *exact) {
    size_t groups = 0;
    *exact = 1;
    for (size_t i = 0; i < n; i++) {
        if (i && sorted[i] == sorted[i - 1]) {
            weights[groups - 1]++;
        } else if (groups == limit) {
            *exact = 0;
            break;
        } else {
            means[groups] = sorted[i];
            weights[groups++] = 1;
        }
    }
    if (*exact) return groups;
    double low = sorted[0], scale = (double)limit / ((double)sorted[n - 1] - low), total = 0;
    size_t last = SIZE_MAX, start = 0;
    groups = 0;
    for (size_t i = 0; i <= n; i++) {
        size_t bin = i < n ? (size_t)((sorted[i] - low) * scale) : SIZE_MAX;
        if (i < n && bin >= limit) bin = limit - 1;
        if (bin != last && i) {
            means[groups] = total / (double)(i - start);
            weights[groups++] = (double)(i - start);
            total = 0;
            start = i;
        }
        last = bin;
        if (i < n) total += sorted[i];
    }
    return groups;
}

void cm_thresholds(const float *centroids, size_t k, float *thresholds) {
    for (size_t j = 0; j + 1 < k; j++) {
        double middle = ((double)centroids[j] + (double)centroids[j + 1]) / 2;
        /* Comparing floats with the largest float not above it is comparing with it. */
        float limit = (float)middle;
        thresholds[j] = limit > middle ? nextafterf(limit, -INFINITY) : limit;
    }
}
