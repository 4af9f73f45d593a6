/* Huffman tables of a JPEG file (ITU-T T.81, B.2.4.2), checked before the decoder reads them: stb_image up to 2.27 writes tables of
 * more than 256 codes beyond their room, and reads tables that no segment has filled. See image_stb.h. */
#include "models/image_stb.h"

enum { TABLES = 0xC4, PROGRESSIVE = 0xC2, SCAN = 0xDA, END = 0xD9, MOST_CODES = 256 };

typedef struct jpeg {
    const unsigned char *data;
    size_t bytes, at;
    bool has[2][4]; /* DC, AC; by number */
    bool progressive;
} jpeg;

/* The next marker that has a segment, whose length is next; -1: there is none. */
static int next_marker(jpeg *j) {
    while (j->at + 1 < j->bytes) {
        if (j->data[j->at++] != 0xFF) continue;
        while (j->at < j->bytes && j->data[j->at] == 0xFF) j->at++;
        int marker = j->at < j->bytes ? j->data[j->at++] : END;
        if (marker == END) return -1;
        if (marker > 0x01 && (marker < 0xD0 || marker > 0xD8)) return marker;
    }
    return -1;
}

/* Tables fill the n bytes at `at`; what is cut short the decoder finds. */
static bool read_tables(jpeg *j, size_t at, size_t n) {
    while (n > 0 && at + 17 <= j->bytes) { /* a segment that ends within is read on, as the decoder does */
        size_t codes = 0;
        int kind = j->data[at] >> 4, number = j->data[at] & 15;
        for (int i = 1; i <= 16; i++) codes += j->data[at + (size_t)i];
        if (codes > MOST_CODES) return false;
        if (kind < 2 && number < 4) j->has[kind][number] = true;
        at += 17 + codes;
        n -= 17 + codes < n ? 17 + codes : n;
    }
    return true;
}

/* A scan of n components: their tables, then first coefficient, last one, and bits. */
static bool has_tables(const jpeg *j, size_t at) {
    size_t n = at < j->bytes ? j->data[at] : 0, end = at + 1 + 2 * n;
    if (end + 2 >= j->bytes) return true;
    bool dc = !j->progressive || j->data[end] == 0, ac = !j->progressive || !dc,
         first = j->data[end + 2] < 16;
    for (size_t i = 0; i < n; i++) {
        int numbers = j->data[at + 2 + 2 * i], of_dc = numbers >> 4, of_ac = numbers & 15;
        if (of_dc > 3 || of_ac > 3) return true; /* the decoder refuses that */
        if ((dc && first && !j->has[0][of_dc]) || (ac && !j->has[1][of_ac])) return false;
    }
    return true;
}

bool pm_jpeg_check(const unsigned char *data, size_t bytes, const char **out_why) {
    jpeg j = {.data = data, .bytes = bytes};
    if (bytes < 2 || data[0] != 0xFF) return true;
    for (int marker; (marker = next_marker(&j)) >= 0;) {
        size_t at = j.at + 2, length = at <= bytes ? (size_t)data[j.at] << 8 | data[j.at + 1] : 0;
        if (length < 2) return true;
        j.progressive |= marker == PROGRESSIVE;
        if (marker == TABLES && !read_tables(&j, at, length - 2))
            return *out_why = "has a Huffman table of more than 256 codes", false;
        if (marker == SCAN && !has_tables(&j, at))
            return *out_why = "uses a Huffman table that it does not have", false;
        j.at += length;
    }
    return true;
}
