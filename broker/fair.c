/* fair.c - see fair.h. */
#include "fair.h"

/* What this one takes when the water stands at level. */
static uint64_t room_at(const struct fair_share *share, uint64_t level)
{
    uint64_t top = level < share->demand ? level : share->demand;

    return top > share->got ? top - share->got : 0;
}

static uint64_t taken_at(struct fair_share *const *shares, size_t n, uint64_t level)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += room_at(shares[i], level);
    return sum;
}

uint64_t fair_pour(struct fair_share *const *shares, size_t n, uint64_t capacity)
{
    uint64_t low = 0, high = 0; /* the highest level that capacity fills is in low..high */

    for (size_t i = 0; i < n; i++)
        high = shares[i]->demand > high ? shares[i]->demand : high;
    while (low < high) {
        uint64_t level = low + (high - low + 1) / 2;

        if (taken_at(shares, n, level) <= capacity)
            low = level;
        else
            high = level - 1;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t more = room_at(shares[i], low);

        shares[i]->got += more;
        capacity -= more;
    }
    for (size_t i = 0; i < n && capacity > 0; i++)
        if (room_at(shares[i], low + 1) > 0) {
            shares[i]->got++;
            capacity--;
        }
    return capacity;
}
