/* The writable memory of a process as an image. See memory.h. */
#include "memory.h"

#include "../../common/os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
  #include <elf.h>

enum {
    PAGE        = 4096, /* of the image; the system's may be larger */
    PIECES_MAX  = 65534, /* a header counts them in 16 bits, and 65,535 has a meaning of its own */
    GAPS_TRIED  = 64,   /* for each new piece */
    LINE_SIZE   = 128,  /* of a line of maps, what comes before the name */
    PAGES_ASKED = 64    /* at once, whether they were touched */
};
#define WASTE_MIN ((uint64_t)16 << 20)
#define NOWHERE UINT64_MAX
#define TOUCHED ((uint64_t)3 << 62) /* of an entry of the page map: present, or swapped out */

/* >>path ----------------------------------------------------------------- */
bool wan_memory_is_path(const char *path, int *process)
{
    char *end;
    if (strncmp(path, "/proc/", 6) != 0) return false;
    if (!strcmp(path, "/proc/self/mem") || !strcmp(path, "/proc/thread-self/mem")) {
        *process = (int)getpid();
        return true;
    }
    if (path[6] < '1' || path[6] > '9') return false;
    const long number = strtol(path + 6, &end, 10);
    *process = (int)number;
    return number > 0 && number <= INT32_MAX && !strcmp(end, "/mem");
}

static int fail_ended(const char *path)
{
    return prog_fail(PROG_NOT_FOUND, "%s: the process has ended", path);
}

int wan_memory_open(wan_memory *m, const char *path, int process)
{
    char folder[32];
    Elf64_Ehdr program;
    memset(m, 0, sizeof *m);
    m->folder = m->bytes = m->pages = -1;
    if (process == (int)getpid()) return prog_fail(PROG_USAGE, "%s is the memory of dxwan itself", path);
    (void)snprintf(folder, sizeof folder, "/proc/%d", process);
    m->folder = os_open_folder(folder); /* it means this process, even if another one gets its number */
    if (m->folder < 0 && errno == ENOENT)
        return prog_fail(PROG_NOT_FOUND, "%s: there is no such process", path);
    if (m->folder >= 0) m->bytes = os_open_in(m->folder, "mem", OS_FILE);
    if (m->bytes < 0 && (errno == ESRCH || errno == ENOENT)) return fail_ended(path);
    if (m->bytes < 0) return prog_fail_errno("%s", path);
    m->pages = os_open_in(m->folder, "pagemap", OS_FILE);
    const int file = openat(m->folder, "exe", O_RDONLY | O_CLOEXEC);
    if (file >= 0 && os_read(file, &program, sizeof program) == (int64_t)sizeof program &&
        !memcmp(program.e_ident, ELFMAG, SELFMAG))
        m->machine = program.e_machine;
    if (file >= 0) os_close(file);
    return PROG_OK;
}

void wan_memory_close(wan_memory *m)
{
    if (m->folder >= 0) os_close(m->folder);
    if (m->bytes >= 0) os_close(m->bytes);
    if (m->pages >= 0) os_close(m->pages);
    free(m->pieces);
    free(m->places);
    free(m->table);
    free(m->untouched);
    memset(m, 0, sizeof *m);
    m->folder = m->bytes = m->pages = -1;
}

/* >>mappings ------------------------------------------------------------- */
typedef struct wan_list {
    wan_piece *pieces;
    uint32_t   count;
    uint32_t   room;
} wan_list;

/* False: there are too many. */
static bool append(wan_list *l, const wan_piece *p)
{
    wan_piece *last = l->count ? &l->pieces[l->count - 1] : NULL;
    if (last && last->address + last->size == p->address && last->flags == p->flags &&
        last->sparse == p->sparse &&
        (last->at == NOWHERE ? p->at == NOWHERE : p->at != NOWHERE && last->at + last->size == p->at)) {
        last->size += p->size;
        return true;
    }
    if (l->count == PIECES_MAX) return false;
    if (l->count == l->room) {
        l->room = l->room * 2 + 64;
        l->pieces = realloc(l->pieces, l->room * sizeof *l->pieces);
        if (!l->pieces) abort();
    }
    l->pieces[l->count++] = *p;
    return true;
}

/* Add a mapping. Pages of it that the last round had keep their places. *old: the first piece of the last
   round that may end after the mapping begins. */
static bool append_mapping(wan_list *l, const wan_memory *m, uint32_t *old,
                           const wan_piece *mapping)
{
    wan_piece p = *mapping;
    const uint64_t end = mapping->address + mapping->size;
    while (*old < m->count && m->pieces[*old].address + m->pieces[*old].size <= p.address) ++*old;
    for (uint32_t i = *old; p.address < end; i++) {
        const wan_piece *q = i < m->count && m->pieces[i].address < end ? &m->pieces[i] : NULL;
        const uint64_t known = q ? q->address : end;
        if (known > p.address) {
            p.size = known - p.address;
            p.at = NOWHERE;
            if (!append(l, &p)) return false;
            p.address = known;
        }
        if (!q) break;
        const uint64_t q_end = q->address + q->size < end ? q->address + q->size : end;
        p.size = q_end - p.address;
        p.at = q->at + (p.address - q->address);
        if (!append(l, &p)) return false;
        p.address = q_end;
    }
    return true;
}

/* One line of maps: "begin-end rwxp offset device inode   name". False: not a writable mapping. */
static bool parse_mapping(const char *line, uint64_t after, wan_piece *p)
{
    unsigned long long begin, end, inode;
    char rights[5];
    if (sscanf(line, "%llx-%llx %4s %*x %*x:%*x %llu", &begin, &end, rights, &inode) != 4) return false;
    if (begin < after) begin = after; /* it grew while the list was read */
    if (end <= begin || begin % PAGE || end % PAGE || rights[1] != 'w') return false;
    *p = (wan_piece){.address = begin, .size = end - begin, .at = NOWHERE};
    p->flags = (rights[0] == 'r' ? PF_R : 0) | PF_W | (rights[2] == 'x' ? PF_X : 0);
    p->sparse = rights[3] == 'p' && !inode;
    return true;
}

/* Read the list. 0, or an errno; E2BIG: too many. */
static int read_mappings(const wan_memory *m, wan_list *l)
{
    char line[LINE_SIZE];
    uint32_t old = 0;
    wan_piece p;
    bool begins = true, fits = true;
    const int file = os_open_in(m->folder, "maps", OS_FILE);
    FILE *f = file < 0 ? NULL : fdopen(file, "r");
    if (!f) return errno;
    while (fits && fgets(line, sizeof line, f)) {
        const wan_piece *last = l->count ? &l->pieces[l->count - 1] : NULL;
        if (begins && parse_mapping(line, last ? last->address + last->size : 0, &p))
            fits = append_mapping(l, m, &old, &p);
        begins = strchr(line, '\n') != NULL; /* the rest of a long name is skipped */
    }
    const int error = ferror(f) ? errno : 0;
    (void)fclose(f);
    return fits ? error : E2BIG;
}

/* >>places --------------------------------------------------------------- */
static int by_place(const void *a, const void *b)
{
    const uint64_t x = ((const wan_place *)a)->at, y = ((const wan_place *)b)->at;
    return (x > y) - (x < y);
}

/* List the pieces that have a place. Returns their number. */
static uint32_t sort_places(const wan_list *l, wan_place *places)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->count; i++)
        if (l->pieces[i].at != NOWHERE) places[count++] = (wan_place){l->pieces[i].at, i};
    qsort(places, count, sizeof *places, by_place);
    return count;
}

typedef struct wan_gap {
    uint64_t at;
    uint64_t size;
} wan_gap;

/* List the gaps between the pieces; *end: where the last piece ends. Returns the number of gaps. */
static uint32_t list_gaps(const wan_list *l, const wan_place *places, uint32_t count, wan_gap *gaps,
                          uint64_t *end)
{
    uint32_t found = 0;
    *end = PAGE;
    for (uint32_t i = 0; i < count; i++) {
        if (places[i].at > *end) gaps[found++] = (wan_gap){*end, places[i].at - *end};
        *end = places[i].at + l->pieces[places[i].piece].size;
    }
    return found;
}

/* Give a place to each piece that has none: in a gap, or at the end. Where most of the image would be gaps,
   all pieces get a new one. Returns the size of the pages' part. */
static uint64_t give_places(wan_list *l, wan_place *places)
{
    wan_gap *gaps = prog_alloc((l->count + 1) * sizeof *gaps);
    uint64_t end, waste = 0;
    uint32_t first = 0, count = list_gaps(l, places, sort_places(l, places), gaps, &end);
    for (uint32_t i = 0; i < count; i++) waste += gaps[i].size;
    if (waste > WASTE_MIN && waste > end / 2) {
        for (uint32_t i = 0; i < l->count; i++) l->pieces[i].at = NOWHERE;
        end = PAGE;
        count = 0;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        wan_piece *p = &l->pieces[i];
        if (p->at != NOWHERE) continue;
        for (uint32_t g = first; g < count && g < first + GAPS_TRIED && p->at == NOWHERE; g++) {
            if (gaps[g].size < p->size) continue;
            p->at = gaps[g].at;
            gaps[g].at += p->size;
            gaps[g].size -= p->size;
        }
        while (first < count && !gaps[first].size) first++;
        if (p->at != NOWHERE) continue;
        p->at = end;
        end += p->size;
    }
    free(gaps);
    (void)sort_places(l, places);
    return end;
}

static void write_table(wan_memory *m)
{
    Elf64_Phdr *h = prog_alloc(m->count * sizeof *h);
    memset(h, 0, m->count * sizeof *h);
    for (uint32_t i = 0; i < m->count; i++) {
        h[i].p_type = PT_LOAD;
        h[i].p_flags = m->pieces[i].flags;
        h[i].p_offset = m->pieces[i].at;
        h[i].p_vaddr = m->pieces[i].address;
        h[i].p_filesz = h[i].p_memsz = m->pieces[i].size;
        h[i].p_align = PAGE;
    }
    free(m->table);
    m->table = (uint8_t *)h;
    m->table_size = m->count * sizeof *h;
    m->size = m->table_at + m->table_size;
}

int wan_memory_begin(wan_memory *m, const char *path)
{
    wan_list l = {0};
    const int error = read_mappings(m, &l);
    if (error || !l.count) {
        free(l.pieces);
        if (error == E2BIG)
            return prog_fail(PROG_REFUSED, "%s: the process has more than %d writable mappings", path,
                             PIECES_MAX);
        if (!error || error == ESRCH || error == ENOENT) return fail_ended(path);
        errno = error;
        return prog_fail_errno("%s: the list of its mappings", path);
    }
    free(m->places);
    m->places = prog_alloc(l.count * sizeof *m->places);
    m->table_at = give_places(&l, m->places);
    free(m->pieces);
    m->pieces = l.pieces;
    m->count = l.count;
    m->lost = 0;
    write_table(m);
    return PROG_OK;
}

bool wan_memory_is_same(const wan_memory *m)
{
    wan_list l = {0};
    bool same = !read_mappings(m, &l) && l.count == m->count;
    for (uint32_t i = 0; same && i < l.count; i++)
        same = l.pieces[i].address == m->pieces[i].address && l.pieces[i].size == m->pieces[i].size &&
               l.pieces[i].at == m->pieces[i].at;
    free(l.pieces);
    return same;
}

/* >>reading -------------------------------------------------------------- */
/* 0, or an errno. */
static int read_bytes(wan_memory *m, uint64_t address, uint8_t *out, size_t size)
{
    while (size) {
        const ssize_t got = pread(m->bytes, out, size, (off_t)address);
        size_t n = got > 0 ? (size_t)got : 0;
        if (!got) return ESRCH;
        if (got < 0 && errno != EIO && errno != EFAULT && errno != EINTR) return errno;
        if (got < 0 && errno != EINTR) { /* the page has gone, or is one of a device */
            n = PAGE - address % PAGE < size ? PAGE - address % PAGE : size;
            memset(out, 0, n);
            m->lost++;
        }
        address += n;
        out += n;
        size -= n;
    }
    return 0;
}

typedef struct page_map { /* a part of it that was read */
    uint64_t entries[PAGES_ASKED];
    uint64_t first; /* the page of the first one */
    uint64_t count;
} page_map;

/* The bytes from an address on, at most `size`, of pages that were all touched, or never. Their map is read where
   p has it not. 0: it is not known. */
static size_t next_run(const wan_memory *m, page_map *p, uint64_t address, size_t size, bool *touched)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), number = address / page;
    assert(size);
    if (number < p->first || number >= p->first + p->count) {
        uint64_t count = (address + size - 1) / page - number + 1;
        if (count > PAGES_ASKED) count = PAGES_ASKED;
        const int64_t got = os_read_at(m->pages, number * sizeof *p->entries, p->entries,
                                       (size_t)count * sizeof *p->entries);
        p->first = number;
        p->count = got < 0 ? 0 : (uint64_t)got / sizeof *p->entries;
        if (!p->count) return 0;
    }
    uint64_t i = number - p->first;
    *touched = (p->entries[i] & TOUCHED) != 0;
    while (i < p->count && *touched == ((p->entries[i] & TOUCHED) != 0)) i++;
    const uint64_t end = (p->first + i) * page;
    return end - address < size ? (size_t)(end - address) : size;
}

/* The same for memory that may have pages that were never touched: to read those would take memory there. */
static int read_sparse(wan_memory *m, uint64_t address, uint8_t *out, size_t size)
{
    page_map map = {.count = 0};
    int error = 0;
    while (size && !error) {
        bool touched;
        const size_t n = next_run(m, &map, address, size, &touched);
        if (!n) return read_bytes(m, address, out, size);
        if (touched) error = read_bytes(m, address, out, n);
        else memset(out, 0, n);
        address += n;
        out += n;
        size -= n;
    }
    return error;
}

/* The part of the bytes from `at` that lies in a block of the image: where it begins, and its size. */
static size_t part(uint64_t at, size_t size, uint64_t block_at, uint64_t block_size, uint64_t *from)
{
    const uint64_t end = at + size < block_at + block_size ? at + size : block_at + block_size;
    *from = at > block_at ? at : block_at;
    return end > *from ? (size_t)(end - *from) : 0;
}

static void fill_header(const wan_memory *m, Elf64_Ehdr *h)
{
    const uint16_t one = 1;
    memset(h, 0, sizeof *h);
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
    h->e_ident[EI_VERSION] = EV_CURRENT;
    h->e_type = ET_CORE;
    h->e_machine = m->machine;
    h->e_version = EV_CURRENT;
    h->e_phoff = m->table_at;
    h->e_ehsize = sizeof *h;
    h->e_phentsize = sizeof(Elf64_Phdr);
    h->e_phnum = (uint16_t)m->count;
}

/* The first place that ends after `at`. */
static uint32_t find_place(const wan_memory *m, uint64_t at)
{
    uint32_t low = 0, high = m->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const wan_place *p = &m->places[middle];
        if (p->at + m->pieces[p->piece].size > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Was no page of this range of the process ever touched? */
static bool is_range_untouched(const wan_memory *m, uint64_t address, size_t size)
{
    page_map map = {.count = 0};
    while (size) {
        bool touched;
        const size_t n = next_run(m, &map, address, size, &touched);
        if (!n || touched) return false;
        address += n;
        size -= n;
    }
    return true;
}

/* Is this part of the image zero because nothing of it was ever touched? */
static bool is_untouched(const wan_memory *m, uint64_t at, size_t size)
{
    uint64_t from;
    if (m->pages < 0 || at < sizeof(Elf64_Ehdr) || at + size > m->table_at) return false;
    for (uint32_t i = find_place(m, at); i < m->count && m->places[i].at < at + size; i++) {
        const wan_piece *p = &m->pieces[m->places[i].piece];
        const size_t n = part(at, size, p->at, p->size, &from);
        if (n && (!p->sparse || !is_range_untouched(m, p->address + (from - p->at), n))) return false;
    }
    return true;
}

/* Remember whether a block was untouched when it was read. */
static void note_untouched(wan_memory *m, uint64_t at, size_t size, bool untouched)
{
    const uint64_t block = at / WAN_MEMORY_BLOCK;
    if (block >= m->untouched_count) {
        const uint64_t count = m->size / WAN_MEMORY_BLOCK + 1;
        assert(block < count);
        uint8_t *more = prog_alloc((size_t)count);
        memset(more, 0, (size_t)count);
        if (m->untouched_count) memcpy(more, m->untouched, (size_t)m->untouched_count);
        free(m->untouched);
        m->untouched = more;
        m->untouched_count = count;
    }
    m->untouched[block] = untouched && at % WAN_MEMORY_BLOCK == 0 && size == WAN_MEMORY_BLOCK;
}

bool wan_memory_is_as_read(const wan_memory *m, uint64_t at)
{
    const uint64_t block = at / WAN_MEMORY_BLOCK;
    return at % WAN_MEMORY_BLOCK == 0 && block < m->untouched_count && m->untouched[block] &&
           is_untouched(m, at, WAN_MEMORY_BLOCK);
}

int64_t wan_memory_read(wan_memory *m, uint64_t at, uint8_t *out, size_t size)
{
    Elf64_Ehdr header;
    uint64_t from;
    if (at >= m->size) return 0;
    if (size > m->size - at) size = (size_t)(m->size - at);
    memset(out, 0, size);
    const bool untouched = is_untouched(m, at, size);
    note_untouched(m, at, size, untouched);
    if (untouched) return (int64_t)size;
    size_t n = part(at, size, 0, sizeof header, &from);
    if (n) {
        fill_header(m, &header);
        memcpy(out + (from - at), (const uint8_t *)&header + from, n);
    }
    n = part(at, size, m->table_at, m->table_size, &from);
    if (n) memcpy(out + (from - at), m->table + (from - m->table_at), n);
    for (uint32_t i = find_place(m, at); i < m->count && m->places[i].at < at + size; i++) {
        const wan_piece *p = &m->pieces[m->places[i].piece];
        n = part(at, size, p->at, p->size, &from);
        if (!n) continue;
        const bool ask = p->sparse && m->pages >= 0;
        const uint64_t address = p->address + (from - p->at);
        const int error = (ask ? read_sparse : read_bytes)(m, address, out + (from - at), n);
        if (!error) continue;
        errno = error;
        return -1;
    }
    return (int64_t)size;
}

#else
bool wan_memory_is_path(const char *path, int *process)
{
    (void)path;
    (void)process;
    return false; /* there is no /proc like that of Linux */
}

int wan_memory_open(wan_memory *m, const char *path, int process)
{
    (void)m;
    (void)process;
    return prog_fail(PROG_SYSTEM, "%s: the memory of a process is read on Linux only", path);
}

void wan_memory_close(wan_memory *m) { (void)m; }

int wan_memory_begin(wan_memory *m, const char *path)
{
    return wan_memory_open(m, path, 0);
}

bool wan_memory_is_same(const wan_memory *m)
{
    (void)m;
    return false;
}

bool wan_memory_is_as_read(const wan_memory *m, uint64_t at)
{
    (void)m;
    (void)at;
    return false;
}

int64_t wan_memory_read(wan_memory *m, uint64_t at, uint8_t *out, size_t size)
{
    (void)m;
    (void)at;
    (void)out;
    (void)size;
    errno = ENOSYS;
    return -1;
}
#endif
