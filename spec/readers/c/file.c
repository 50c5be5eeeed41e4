/* Chapter 2: signature, header, section table, padding. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_SIZE = 20, MAJOR = 1, LARGEST_ALIGNMENT_LOG = 12, MOST_SECTIONS = 65536 };

#define LARGEST_TEXT (UINT64_C(4) << 20)

static cmodel_status read_header(const context *c, bytes file, bytes *table) {
    static const uint8_t signature[8] = {0x89, 0x43, 0x4D, 0x44, 0x0D, 0x0A, 0x1A, 0x0A};
    size_t compared = file.size < sizeof signature ? file.size : sizeof signature;
    if (compared == 0 || memcmp(file.data, signature, compared) != 0)
        return fail(c, CMODEL_BAD_SIGNATURE, "this is not a cmodel container");
    if (file.size > 8 && file.data[8] != MAJOR)
        return fail(c, CMODEL_BAD_VERSION, "the file has version %d.%d, this reader knows %d.x", file.data[8],
                    file.size > 9 ? file.data[9] : 0, MAJOR);
    if (file.size < HEADER_SIZE)
        return fail(c, CMODEL_TRUNCATED, "the file ends within its header");
    table->data = file.data + HEADER_SIZE;
    table->size = load32(file.data + 12);
    if (table->size > file.size - HEADER_SIZE)
        return fail(c, CMODEL_TRUNCATED, "the file ends within its section table");
    bytes fields = {file.data, 16};
    if (!crc_matches_both(c->crc, fields, *table, load32(file.data + 16)))
        return fail(c, CMODEL_CHECKSUM, "the CRC-32 of header and section table does not match");
    if (file.data[10] > LARGEST_ALIGNMENT_LOG || file.data[11] != 0)
        return fail(c, CMODEL_BAD_HEADER, "alignment or a byte that must be zero");
    return CMODEL_OK;
}

static cmodel_status check_entry(const context *c, const section *section, size_t index) {
    bool ancillary = (section->flags & SECTION_ANCILLARY) != 0;
    bool deflated = (section->flags & SECTION_DEFLATED) != 0;
    bool critical_type = section->type == SECTION_MANIFEST || section->type == SECTION_DATA;
    bool known = critical_type || section->type == SECTION_NOTES || section->type == SECTION_LABELS;
    if (!known && !ancillary)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "section %zu has the critical type %u", index, section->type);
    if (known && (section->flags & SECTION_RESERVED))
        return fail(c, CMODEL_UNKNOWN_FEATURE, "section %zu has flag bit 2", index);
    if (known && !deflated && (section->flags & SECTION_PRESET))
        return fail(c, CMODEL_BAD_HEADER, "section %zu has a dictionary and is not deflated", index);
    if (known && ancillary == critical_type)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: flag \"ancillary\" is wrong for its type", index);
    if ((index == 0) != (section->type == SECTION_MANIFEST))
        return fail(c, CMODEL_BAD_HEADER, "the manifest is not exactly the first section");
    if (deflated && section->type == SECTION_DATA)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: data is deflated", index);
    if (known && section->type != SECTION_DATA && section->decoded_size > LARGEST_TEXT)
        return fail(c, CMODEL_LIMIT_MEMORY, "section %zu: its decoded size is above 4 MiB", index);
    return CMODEL_OK;
}

/* Read an entry of the table; the section's size goes into `stored`, its place is not yet known. */
static cmodel_status read_section(const context *c, bytes *table, size_t index, section *section, uint64_t *size) {
    uint64_t head = 0;
    bytes crc;
    bool good = take_shortest(table, 0xFFFFF, &head) && take_shortest(table, LARGEST_SIZE, size);
    section->decoded_size = *size;
    section->type = (unsigned)head >> 4;
    section->flags = (unsigned)head & 15;
    if (good && (section->flags & SECTION_DEFLATED))
        good = take_shortest(table, LARGEST_SIZE, &section->decoded_size);
    if (!good || !take_bytes(table, 4, &crc))
        return fail(c, CMODEL_BAD_HEADER, "the entry of section %zu ends early or has a wrong number", index);
    section->crc = load32(crc.data);
    return check_entry(c, section, index);
}

/* Each section stands at the first aligned place after what is before it, and zeros are between. */
static cmodel_status place_sections(const context *c, bytes file, const uint64_t *sizes, uint64_t end,
                                    section_table *table) {
    uint64_t alignment = UINT64_C(1) << file.data[10];
    for (size_t i = 0; i < table->count; i++) {
        uint64_t place = (end + alignment - 1) & ~(alignment - 1);
        if (place > file.size || sizes[i] > file.size - place)
            return fail(c, CMODEL_TRUNCATED, "section %zu goes beyond the end of the file", i);
        for (uint64_t at = end; at < place; at++)
            if (file.data[at] != 0)
                return fail(c, CMODEL_BAD_HEADER, "the padding before section %zu is not zero", i);
        table->sections[i].stored.data = file.data + (size_t)place;
        table->sections[i].stored.size = (size_t)sizes[i];
        end = place + sizes[i];
    }
    if (end != file.size)
        return fail(c, CMODEL_TRAILING_DATA, "the file has %llu bytes, its last section ends at %llu",
                    (unsigned long long)file.size, (unsigned long long)end);
    return CMODEL_OK;
}

static cmodel_status read_entries(const context *c, bytes file, bytes entries, uint64_t *sizes,
                                section_table *table) {
    unsigned notes = 0, labels = 0;
    uint64_t end = HEADER_SIZE + (uint64_t)entries.size;
    for (; entries.size > 0; table->count++) {
        if (table->count == MOST_SECTIONS)
            return fail(c, CMODEL_BAD_HEADER, "more than 65,536 sections");
        section *section = &table->sections[table->count];
        TRY(read_section(c, &entries, table->count, section, &sizes[table->count]));
        notes += section->type == SECTION_NOTES;
        labels += section->type == SECTION_LABELS;
    }
    if (table->count == 0)
        return fail(c, CMODEL_BAD_HEADER, "there are no sections");
    if (notes > 1 || labels > 1)
        return fail(c, CMODEL_BAD_HEADER, "more than one section of notes or labels");
    return place_sections(c, file, sizes, end, table);
}

cmodel_status read_file(const context *c, bytes file, section_table *table) {
    bytes entries;
    TRY(read_header(c, file, &entries));
    /* An entry has at least six bytes. */
    size_t most = entries.size / 6 < MOST_SECTIONS ? entries.size / 6 + 1 : MOST_SECTIONS;
    uint64_t *sizes = allocate(c, most, sizeof *sizes);
    table->sections = allocate(c, most, sizeof *table->sections);
    table->count = 0;
    cmodel_status status = CMODEL_LIMIT_MEMORY;
    if (sizes != NULL && table->sections != NULL)
        status = read_entries(c, file, entries, sizes, table);
    free(sizes);
    return status;
}

cmodel_status check_section(const context *c, size_t index) {
    section *section = &c->sections[index];
    if (!section->checked && !crc_matches(c->crc, section->stored, section->crc))
        return fail(c, CMODEL_CHECKSUM, "the CRC-32 of section %zu does not match", index);
    section->checked = true;
    return CMODEL_OK;
}

cmodel_status inflate_section(const context *c, const section *section, uint8_t **text) {
    *text = allocate(c, section->decoded_size, 1);
    if (*text == NULL)
        return CMODEL_LIMIT_MEMORY;
    bool preset = (section->flags & SECTION_PRESET) != 0;
    return inflate_exactly(c, section->stored, preset, *text, (size_t)section->decoded_size);
}
