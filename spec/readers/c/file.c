/* Chapter 2: signature, header, section table, padding. */
#include "internal.h"

#include <string.h>

enum { HEADER_SIZE = 32, ENTRY_SIZE = 32, MAJOR = 0, MINOR = 2, LARGEST_ALIGNMENT_LOG = 12, MOST_SECTIONS = 65536 };

#define LARGEST_TEXT (UINT64_C(4) << 20)

static cmodel_status read_header(const context *c, bytes file, uint32_t *count) {
    static const uint8_t signature[8] = {0x89, 0x43, 0x4D, 0x44, 0x0D, 0x0A, 0x1A, 0x0A};
    size_t compared = file.size < sizeof signature ? file.size : sizeof signature;
    if (compared == 0 || memcmp(file.data, signature, compared) != 0)
        return fail(c, CMODEL_BAD_SIGNATURE, "this is not a cmodel container");
    if (file.size >= 10 && (file.data[8] != MAJOR || file.data[9] != MINOR))
        return fail(c, CMODEL_BAD_VERSION, "the file has version %d.%d, this reader knows %d.%d", file.data[8],
                    file.data[9], MAJOR, MINOR);
    if (file.size < HEADER_SIZE)
        return fail(c, CMODEL_TRUNCATED, "the file ends within its header");
    uint64_t stated = load64(file.data + 16);
    if (stated > file.size)
        return fail(c, CMODEL_TRUNCATED, "the file has %llu bytes of the %llu that it states",
                    (unsigned long long)file.size, (unsigned long long)stated);
    if (stated < file.size)
        return fail(c, CMODEL_TRAILING_DATA, "the file has %llu bytes, more than the %llu that it states",
                    (unsigned long long)file.size, (unsigned long long)stated);
    *count = load32(file.data + 12);
    if (*count < 1 || *count > MOST_SECTIONS)
        return fail(c, CMODEL_BAD_HEADER, "%lu sections", (unsigned long)*count);
    if ((file.size - HEADER_SIZE) / ENTRY_SIZE < *count)
        return fail(c, CMODEL_TRUNCATED, "the section table is longer than the file");

    bytes fields = {file.data, 28}, table = {file.data + HEADER_SIZE, (size_t)*count * ENTRY_SIZE};
    if (!crc_matches_both(c->crc, fields, table, load32(file.data + 28)))
        return fail(c, CMODEL_CHECKSUM, "the CRC-32 of header and section table does not match");
    if (file.data[10] > LARGEST_ALIGNMENT_LOG || file.data[11] != 0 || load32(file.data + 24) != 0)
        return fail(c, CMODEL_BAD_HEADER, "alignment or a field that must be zero");
    return CMODEL_OK;
}

static cmodel_status check_entry(const context *c, const section *section, size_t index) {
    bool ancillary = (section->flags & SECTION_ANCILLARY) != 0;
    bool deflated = (section->flags & SECTION_DEFLATED) != 0;
    bool critical_type = section->type == SECTION_MANIFEST || section->type == SECTION_DATA;
    bool known = critical_type || section->type == SECTION_NOTES || section->type == SECTION_LABELS;
    if (section->flags & ~(unsigned)(SECTION_DEFLATED | SECTION_ANCILLARY))
        return fail(c, CMODEL_BAD_HEADER, "section %zu has unknown flags", index);
    if (!known && !ancillary)
        return fail(c, CMODEL_UNKNOWN_FEATURE, "section %zu has the critical type %u", index, section->type);
    if (known && ancillary == critical_type)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: flag \"ancillary\" is wrong for its type", index);
    if ((index == 0) != (section->type == SECTION_MANIFEST))
        return fail(c, CMODEL_BAD_HEADER, "the manifest is not exactly the first section");
    if (deflated && section->type == SECTION_DATA)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: data is deflated", index);
    if (!deflated && section->decoded_size != section->stored.size)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: stored and decoded sizes differ", index);
    if (section->decoded_size > LARGEST_SIZE)
        return fail(c, CMODEL_BAD_HEADER, "section %zu: its decoded size is above 2^53", index);
    if (known && section->type != SECTION_DATA && section->decoded_size > LARGEST_TEXT)
        return fail(c, CMODEL_LIMIT_MEMORY, "section %zu: its decoded size is above 4 MiB", index);
    return CMODEL_OK;
}

/* Each section stands at the first aligned place after what is before it, and zeros are between. */
static cmodel_status read_table(const context *c, bytes file, section_table *table) {
    uint64_t alignment = UINT64_C(1) << file.data[10], end = HEADER_SIZE + (uint64_t)table->count * ENTRY_SIZE;
    unsigned notes = 0, labels = 0;
    for (size_t i = 0; i < table->count; i++) {
        const uint8_t *entry = file.data + HEADER_SIZE + i * ENTRY_SIZE;
        section *section = &table->sections[i];
        uint64_t offset = load64(entry + 8), stored_size = load64(entry + 16);
        uint64_t place = (end + alignment - 1) & ~(alignment - 1);
        if (offset != place || offset > file.size)
            return fail(c, CMODEL_BAD_HEADER, "section %zu is not at its place", i);
        if (stored_size > file.size - offset)
            return fail(c, CMODEL_BAD_HEADER, "section %zu goes beyond the end of the file", i);
        for (uint64_t at = end; at < place; at++)
            if (file.data[at] != 0)
                return fail(c, CMODEL_BAD_HEADER, "the padding before section %zu is not zero", i);
        section->type = load16(entry);
        section->flags = load16(entry + 2);
        section->crc = load32(entry + 4);
        section->decoded_size = load64(entry + 24);
        section->stored.data = file.data + (size_t)offset;
        section->stored.size = (size_t)stored_size;
        TRY(check_entry(c, section, i));
        notes += section->type == SECTION_NOTES;
        labels += section->type == SECTION_LABELS;
        end = offset + stored_size;
    }
    if (notes > 1 || labels > 1)
        return fail(c, CMODEL_BAD_HEADER, "more than one section of notes or labels");
    if (end != file.size)
        return fail(c, CMODEL_BAD_HEADER, "bytes follow the last section");
    return CMODEL_OK;
}

cmodel_status read_file(const context *c, bytes file, section_table *table) {
    uint32_t count = 0;
    TRY(read_header(c, file, &count));
    table->sections = allocate(c, count, sizeof *table->sections);
    if (table->sections == NULL)
        return CMODEL_LIMIT_MEMORY;
    table->count = count;
    return read_table(c, file, table);
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
    return inflate_exactly(c, section->stored, *text, (size_t)section->decoded_size);
}
