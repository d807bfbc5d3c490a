/* Flash patches of dx_patch.h on a simulated flash with a power cut at every write and every erase. test_flash_small.c is this
   file with DX_PATCH_FLASH_SMALL. */
#define DX_PATCH_IMPLEMENTATION
#include "../../dx_patch.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include <unistd.h>

#ifdef DX_PATCH_FLASH_SMALL
enum { SMALL_ONLY = 1 };
#else
enum { SMALL_ONLY = 0 };
#endif
static int small = SMALL_ONLY; /* patches for the small applier, which both appliers accept */

/* >>flash: erase before write, write a unit once, torn at a power cut ------ */
typedef struct sim {
    uint8_t *slot;
    const uint8_t *patch;
    size_t slot_size, page, patch_size;
    uint8_t *erases;   /* of each page since the start */
    uint8_t *written;  /* of each piece of 16 bytes: written since it was erased */
    long operations, cut; /* the operation at which power fails; 0 = never */
    uint64_t noise;
    bool off;
} sim;

static int sim_read(void *user, uint64_t offset, void *p, size_t size)
{
    sim *s = (sim *)user;
    DX_CHECK(!s->off && offset <= s->slot_size && size <= s->slot_size - offset);
    memcpy(p, s->slot + offset, size);
    return 0;
}

/* All before the torn word is written, some of its bits are, and nothing after it. */
static int sim_write(void *user, uint64_t offset, const void *p, size_t size)
{
    static const uint8_t erased[16] = {255, 255, 255, 255, 255, 255, 255, 255,
                                       255, 255, 255, 255, 255, 255, 255, 255};
    sim *s = (sim *)user;
    const uint8_t *from = (const uint8_t *)p;
    DX_CHECK(!s->off && offset % 256 == 0 && size % 256 == 0 && offset <= s->slot_size - size);
    DX_CHECK(offset / s->page == (offset + size - 1) / s->page);
    s->off = ++s->operations == s->cut;
    size_t torn = s->off ? (size_t)(dx_test_random(&s->noise) % (size / 16 + 1)) * 16 : size;
    for (size_t i = 0; i < size && i <= torn; i += 16) {
        uint8_t *to = s->slot + offset + i;
        DX_CHECK(!s->written[(offset + i) / 16] && memcmp(to, erased, 16) == 0);
        s->written[(offset + i) / 16] = 1;
        if (i < torn) memcpy(to, from + i, 16);
        else
            for (size_t k = 0; k < 16; k++) to[k] = (uint8_t)(from[i + k] | (dx_test_random(&s->noise) & 255));
    }
    return s->off ? 99 : 0;
}

/* After a torn erase, some bytes are unchanged, some erased, some in between. */
static int sim_erase(void *user, uint64_t offset, size_t size)
{
    sim *s = (sim *)user;
    DX_CHECK(!s->off && offset % s->page == 0 && size == s->page && offset <= s->slot_size - size);
    s->off = ++s->operations == s->cut;
    s->erases[offset / s->page]++;
    uint64_t how = dx_test_random(&s->noise) % 4, from = dx_test_random(&s->noise) % size;
    if (!s->off) memset(s->slot + offset, 255, size);
    for (size_t i = 0; i < size && s->off; i++) {
        if ((how == 0 || (how == 1 && i < from) || (how == 2 && i >= from))) continue;
        uint8_t *b = s->slot + offset + i;
        *b = how == 3 ? (uint8_t)(*b | (dx_test_random(&s->noise) & 255)) : 0xff;
    }
    memset(s->written + offset / 16, s->off, size / 16);
    return s->off ? 99 : 0;
}

static int sim_io(void *user, dx_patch_flash_io what, uint64_t offset, void *p, size_t size)
{
    if (what == DX_PATCH_FLASH_READ) return sim_read(user, offset, p, size);
    if (what == DX_PATCH_FLASH_WRITE) return sim_write(user, offset, p, size);
    if (what == DX_PATCH_FLASH_ERASE) return sim_erase(user, offset, size);
    DX_CHECK(0);
    return 1;
}

static dx_patch_flash_desc wire(sim *s)
{
    dx_patch_flash_desc d;
    memset(&d, 0, sizeof d);
    d.user = s;
    d.io = sim_io;
    d.slot_size = s->slot_size;
    d.patch = s->patch;
    d.patch_size = s->patch_size;
    d.page_size = (uint32_t)s->page;
    return d;
}

/* >>pairs ------------------------------------------------------------------ */
typedef struct pair {
    uint8_t *base, *target, *patch;
    size_t base_size, target_size, page, slot_size, patch_size;
} pair;

static size_t pages(size_t size, size_t page) { return (size + page - 1) / page; }

/* Make the patch; `spare` pages follow the larger one of base and target. */
static void make(pair *p, size_t page, size_t spare)
{
    size_t larger = p->base_size > p->target_size ? p->base_size : p->target_size;
    dx_patch_create_desc d;
    memset(&d, 0, sizeof d);
    p->page = page;
    p->slot_size = (pages(larger, page) + spare) * page;
    d.kind = DX_PATCH_KIND_FLASH;
    d.block_size = (uint32_t)page;
    d.slot_size = p->slot_size;
    d.apply_memory_max = small ? DX_PATCH_FLASH_SMALL_MEMORY : 0;
    d.memory_size = dx_patch_create_memory_size(&d, p->base_size, p->target_size);
    d.memory = malloc(d.memory_size);
    size_t bound = dx_patch_bound(&d, p->base_size, p->target_size);
    p->patch = (uint8_t *)malloc(bound);
    DX_CHECK_EQ(dx_patch_create(&d, p->base, p->base_size, p->target, p->target_size, p->patch,
                                bound, &p->patch_size), 0);
    DX_CHECK_EQ(p->patch[7], small ? DX_PATCH_CODING_BITS : DX_PATCH_CODING_RANGE);
    DX_CHECK_EQ(dx_patch_p_load32(p->patch + 40), small ? 704 : 5696);
    free(d.memory);
}

static sim start(const pair *p, const uint8_t *content, size_t size)
{
    sim s;
    memset(&s, 0, sizeof s);
    s.slot_size = p->slot_size;
    s.page = p->page;
    s.patch = p->patch;
    s.patch_size = p->patch_size;
    s.slot = (uint8_t *)malloc(s.slot_size);
    s.erases = (uint8_t *)calloc(1, s.slot_size / s.page);
    s.written = (uint8_t *)malloc(s.slot_size / 16);
    memset(s.slot, 0x5a, s.slot_size);
    memset(s.written, 1, s.slot_size / 16);
    memcpy(s.slot, content, size);
    return s;
}

static void stop(sim *s)
{
    free(s->slot);
    free(s->erases);
    free(s->written);
}

/* Run to the end, through the power cut that is set and, if `again`, many more. */
static void finish(sim *s, const pair *p, bool again)
{
    static dx_patch_flash f;
    dx_patch_flash_desc d = wire(s);
    int error = 0, cuts = 0;
    for (;;) {
        error = dx_patch_flash_apply(&f, &d);
        if (!s->off) break;
        DX_CHECK_EQ(error, DX_PATCH_ESYS);
        s->off = false;
        cuts++;
        if (again && cuts < 4) s->cut = s->operations + 1 + (long)(dx_test_random(&s->noise) % 9);
    }
    DX_CHECK(error == 0 || error == DX_PATCH_EAPPLIED);
    DX_CHECK_MEM(s->slot, p->target, p->target_size);
    for (size_t i = 0; i < s->slot_size / s->page; i++) DX_CHECK(s->erases[i] <= 2 + 2 * (cuts + 1));
}

/* A copy of the flash in which the resumed run's next operation is the one that is cut. */
typedef struct watch {
    sim *s, copy;
    const pair *p;
} watch;

static int watch_io(void *user, dx_patch_flash_io what, uint64_t offset, void *bytes, size_t size)
{
    watch *w = (watch *)user;
    sim *s = w->s, *k = &w->copy;
    if (what == DX_PATCH_FLASH_WRITE || what == DX_PATCH_FLASH_ERASE) {
        k->operations = s->operations;
        k->cut = s->operations + 1;
        k->noise = (uint64_t)k->cut;
        memcpy(k->slot, s->slot, s->slot_size);
        memcpy(k->written, s->written, s->slot_size / 16);
        memcpy(k->erases, s->erases, s->slot_size / s->page);
        (void)sim_io(k, what, offset, bytes, size);
        DX_CHECK(k->off);
        k->off = false;
        if (k->cut % 16 == 0) k->cut += 1 + (long)(dx_test_random(&k->noise) % 9);
        finish(k, w->p, k->cut > k->operations);
    }
    return sim_io(s, what, offset, bytes, size);
}

/* Cut the power at every write and erase; returns their number. */
static long cut_everywhere(const pair *p)
{
    static dx_patch_flash f;
    sim s = start(p, p->base, p->base_size);
    watch w = {&s, start(p, p->base, p->base_size), p};
    dx_patch_flash_desc d = wire(&s);
    d.user = &w;
    d.io = watch_io;
    DX_CHECK_EQ(dx_patch_flash_apply(&f, &d), 0);
    DX_CHECK_MEM(s.slot, p->target, p->target_size);
    for (size_t i = 0; i < s.slot_size / s.page; i++) DX_CHECK(s.erases[i] <= 2);
    DX_CHECK_EQ(dx_patch_flash_apply(&f, &d), DX_PATCH_EAPPLIED);
    long operations = s.operations;
    stop(&s);
    stop(&w.copy);
    return operations;
}

static void drop(pair *p)
{
    free(p->base);
    free(p->target);
    free(p->patch);
}

/* Like a linked image: functions that call each other, one of which has grown, followed by a table. */
static void image(uint8_t *p, size_t size, uint64_t seed, size_t grow)
{
    uint64_t state = seed;
    for (size_t i = 0; i < size; i++) {
        uint64_t word = i / 4 * 4 < size / 3 ? i / 4 : i / 4 - grow / 4;
        state = seed + word / 7;
        p[i] = i % 28 == 3 ? (uint8_t)(grow >> (i % 3)) : (uint8_t)(dx_test_random(&state) >> (8 * (i % 4)));
    }
}

static void generate(pair *p, size_t base_size, size_t target_size, size_t grow)
{
    memset(p, 0, sizeof *p);
    p->base_size = base_size;
    p->target_size = target_size;
    p->base = (uint8_t *)malloc(base_size + 1);
    p->target = (uint8_t *)malloc(target_size + 1);
    image(p->base, base_size, 5, 0);
    image(p->target, target_size, 5, grow);
}

/* >>tests ------------------------------------------------------------------ */
DX_TEST(flash_cut_at_every_write_and_erase_of_generated_images)
{
    (void)c;
    static const size_t sizes[][3] = {{9000, 9000, 16}, {9000, 9200, 200}, {12000, 7000, 100}, {3000, 14000, 40},
                                      {8192, 8192, 1200}, {700, 300, 40}, {1, 700, 0}, {0, 5000, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t spare = 1; spare < 4; spare++) {
            pair p;
            small = SMALL_ONLY || (spare + i) % 2;
            generate(&p, sizes[i][0], sizes[i][1], sizes[i][2]);
            make(&p, spare == 3 ? 2048 : 512, spare);
            cut_everywhere(&p);
            drop(&p);
        }
    small = SMALL_ONLY;
}

/* >>progress: a watchdog fed, a run stopped at any call ------------------------- */
typedef struct ride {
    sim *s;
    long calls, stop, since_erase, since_write; /* stop: at this call; 0 = never */
    uint64_t done, total;
} ride;

static int ride_io(void *user, dx_patch_flash_io what, uint64_t offset, void *p, size_t size)
{
    ride *r = (ride *)user;
    if (what == DX_PATCH_FLASH_ERASE) r->since_erase++;
    if (what == DX_PATCH_FLASH_WRITE) r->since_write++;
    DX_CHECK(r->since_erase + r->since_write <= 1); /* never more than one between two calls */
    DX_CHECK(r->stop >= 0);                         /* nothing after a stop */
    return sim_io(r->s, what, offset, p, size);
}

static int ride_progress(void *user, uint64_t done, uint64_t total)
{
    ride *r = (ride *)user;
    DX_CHECK(done >= r->done && done <= total && (!r->total || total == r->total) && r->stop >= 0);
    DX_CHECK(done - r->done <= 1024 || r->calls > 0);
    r->done = done;
    r->total = total;
    r->since_erase = r->since_write = 0;
    if (++r->calls != r->stop) return 0;
    r->stop = -1;
    return 7;
}

static int go(sim *s, ride *r, long stop_at)
{
    static dx_patch_flash f;
    dx_patch_flash_desc d = wire(s);
    memset(r, 0, sizeof *r);
    r->s = s;
    r->stop = stop_at;
    d.user = r;
    d.io = ride_io;
    d.progress = ride_progress;
    return dx_patch_flash_apply(&f, &d);
}

/* Stop at call n; resume with a power cut somewhere and another stop; then run to the end. */
static bool stop_at(const pair *p, long n)
{
    uint64_t noise = (uint64_t)n * 77 + p->base_size;
    sim s = start(p, p->base, p->base_size);
    ride r;
    int error = go(&s, &r, n), rounds = 1;
    if (!error) DX_CHECK(r.done == r.total && r.calls < n);
    bool stopped = error == DX_PATCH_ECANCELED;
    DX_CHECK(stopped == (r.stop == -1) && (stopped || !error));
    for (; stopped && error && error != DX_PATCH_EAPPLIED && rounds < 6; rounds++) {
        bool cut = rounds % 2 == (int)(noise >> 3 & 1);
        s.cut = cut && rounds < 5 ? s.operations + 1 + (long)(dx_test_random(&noise) % 60) : 0;
        error = go(&s, &r, cut || rounds == 5 ? 0 : 1 + (long)(dx_test_random(&noise) % (uint64_t)(n + 9)));
        DX_CHECK(!error || error == DX_PATCH_EAPPLIED || error == (cut ? DX_PATCH_ESYS : DX_PATCH_ECANCELED));
        s.off = false;
    }
    DX_CHECK(!error || error == DX_PATCH_EAPPLIED);
    DX_CHECK_MEM(s.slot, p->target, p->target_size);
    for (size_t i = 0; i < s.slot_size / s.page; i++) DX_CHECK(s.erases[i] <= 2 * rounds);
    stop(&s);
    return stopped;
}

DX_TEST(flash_stopped_at_every_call_of_progress)
{
    static const size_t sizes[][4] = {{9000, 9200, 200, 1}, {12000, 7000, 100, 2}, {3000, 14000, 40, 1}, {700, 300, 40, 1}, {0, 5000, 0, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pair p;
        long n = 1;
        generate(&p, sizes[i][0], sizes[i][1], sizes[i][2]);
        small = SMALL_ONLY || i % 2;
        make(&p, 512, sizes[i][3]);
        while (stop_at(&p, n)) n++;
        DX_CHECK(n > 10);
        printf("     %zu to %zu bytes: stopped at %ld calls\n", p.base_size, p.target_size, n - 1);
        drop(&p);
    }
    small = SMALL_ONLY;
}

/* >>real pairs -------------------------------------------------------------- */
static bool load(pair *p, const char *folder, const char *name)
{
    char path[300];
    memset(p, 0, sizeof *p);
    snprintf(path, sizeof path, "%s/%s.old", folder, name);
    p->base = (uint8_t *)dx_test_file(path, &p->base_size);
    snprintf(path, sizeof path, "%s/%s.new", folder, name);
    p->target = (uint8_t *)dx_test_file(path, &p->target_size);
    return p->base && p->target;
}

static void cut_real(pair *p, const char *name, size_t page)
{
    make(p, page, 2);
    long count = cut_everywhere(p);
    printf("     %s: %zu to %zu bytes, patch %zu bytes, cut at %ld writes and erases\n", name, p->base_size,
           p->target_size, p->patch_size, count);
    drop(p);
}

/* Two versions of a firmware image: a header for a microcontroller, without and with its asserts. */
static bool build_firmware(const char *folder, const char *header, const char *name)
{
    char command[1200];
    snprintf(command, sizeof command,
             "mkdir -p %s && for v in 'old sizeof((c)?1:0)' 'new ((c)?0:__builtin_trap())'; do set -- $v; "
             "printf '#define DX_IMPLEMENTATION\n#define DX_%s_ASSERT(c) ((void)%%s)\n#include \"dx_%s.h\"\n' \"$2\" | "
             "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -Os -ffreestanding -nostdlib -I. -x c - -o %s/elf "
             "-Wl,-e,0 -Wl,--unresolved-symbols=ignore-all -Wl,--no-gc-sections -lgcc && "
             "arm-none-eabi-objcopy -O binary %s/elf %s/%s.$1 || exit 1; done",
             folder, name, header, folder, folder, folder, header);
    return system(command) == 0;
}

/* The smallest image; with DX_TEST_RUNS all of them, which take ten times as long and need no sanitizer or emulator. */
DX_TEST(flash_cut_at_every_write_and_erase_of_firmware)
{
    (void)c;
    static const char *const names[][2] = {{"hbtp", "HBTP"}, {"patch", "PATCH"}, {"cas", "CAS"}};
    const int images = getenv("DX_TEST_RUNS") ? 3 : 1;
    char folder[64], command[80];
    snprintf(folder, sizeof folder, "build/flash.%ld", (long)getpid()); /* several processes may run this suite at once */
    snprintf(command, sizeof command, "rm -rf %s", folder);
    for (int i = 0; i < images; i++) {
        pair p;
        if (!build_firmware(folder, names[i][0], names[i][1])) DX_SKIP("no arm-none-eabi-gcc");
        DX_CHECK(load(&p, folder, names[i][0]));
        cut_real(&p, names[i][0], 1024);
    }
    DX_CHECK_EQ(system(command), 0);
}

/* The pairs of the notes, if present: DX_PAIRS=directory of NAME.old and NAME.new. */
DX_TEST(flash_cut_at_every_write_and_erase_of_pairs)
{
    (void)c;
    static const char *const names[] = {"p03-ath9k-fw", "p02-seabios"};
    const char *folder = getenv("DX_PAIRS");
    for (int i = 0; folder && i < 2; i++) {
        pair p;
        if (load(&p, folder, names[i])) cut_real(&p, names[i], 4096);
    }
}

/* >>refusals ------------------------------------------------------------------ */
static int apply_to(const pair *p, const uint8_t *patch, size_t size, const uint8_t *content, size_t content_size,
                    bool *changed, size_t slot_size, uint32_t page_size)
{
    static dx_patch_flash f;
    sim s = start(p, content, content_size);
    dx_patch_flash_desc d = wire(&s);
    d.patch = patch;
    d.patch_size = size;
    d.slot_size = slot_size;
    d.page_size = page_size;
    int error = dx_patch_flash_apply(&f, &d);
    *changed = s.operations != 0;
    if (!error) DX_CHECK_MEM(s.slot, p->target, p->target_size);
    stop(&s);
    return error;
}

static void seal(uint8_t *p, size_t size)
{
    dx_patch_p_store32(p + 112, dx_patch_p_crc32c(0, p + 128, size - 128));
    dx_patch_p_store32(p + 124, dx_patch_p_crc32c(0, p, 124));
}

DX_TEST(flash_refuses_damage_before_the_first_erase)
{
    (void)c;
    bool changed;
    pair p;
    generate(&p, 3000, 3300, 200);
    make(&p, 256, 2);
    for (size_t cut = 0; cut < p.patch_size; cut++) {
        DX_CHECK(apply_to(&p, p.patch, cut, p.base, p.base_size, &changed, p.slot_size, 256));
        DX_CHECK(!changed);
    }
    for (size_t bit = 0; bit < 8 * p.patch_size; bit++) {
        p.patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
        DX_CHECK(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256));
        DX_CHECK(!changed);
        p.patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* with valid checksums: any error, but never success with other bytes (apply_to compares) */
    for (size_t bit = 8 * 128; bit < 8 * p.patch_size; bit++) {
        uint8_t *copy = (uint8_t *)malloc(p.patch_size);
        memcpy(copy, p.patch, p.patch_size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        seal(copy, p.patch_size);
        (void)apply_to(&p, copy, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256);
        free(copy);
    }
    drop(&p);
}

/* The appliers agree on headers, except where the small one lacks memory. */
DX_TEST(flash_headers_with_any_bit_changed)
{
    (void)c;
    for (small = SMALL_ONLY; small < 2; small++) {
        bool changed;
        dx_patch_header h;
        pair p;
        generate(&p, 3000, 3300, 200);
        make(&p, 256, 2);
        for (size_t bit = 0; bit < 8 * 124; bit++) {
            p.patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
            dx_patch_p_store32(p.patch + 124, dx_patch_p_crc32c(0, p.patch, 124));
            int info = dx_patch_info(p.patch, p.patch_size, &h);
            int error = apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256);
            DX_CHECK(!info || (error && !changed));
            if (SMALL_ONLY) DX_CHECK(!info || error == info || error == DX_PATCH_ENOTSUP || error == DX_PATCH_ENOMEM || info == DX_PATCH_EHEADER);
            else if (info) DX_CHECK_EQ(error, info);
            p.patch[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        drop(&p);
    }
    small = SMALL_ONLY;
}

#ifdef DX_PATCH_FLASH_SMALL
DX_TEST(flash_small_refuses_what_takes_more_memory)
{
    (void)c;
    bool changed;
    pair p;
    DX_CHECK(sizeof(dx_patch_flash) <= 1536);
    generate(&p, 3000, 3300, 200);
    small = 0;
    make(&p, 256, 2);
    DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256), DX_PATCH_ENOMEM);
    DX_CHECK(!changed);
    drop(&p);
    generate(&p, 3000, 3300, 200);
    small = 1;
    make(&p, 256, 2);
    p.patch[40]++; /* the small one's coding, with more memory */
    seal(p.patch, p.patch_size);
    DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256), DX_PATCH_ENOMEM);
    DX_CHECK(!changed);
    p.patch[40] -= 2;
    seal(p.patch, p.patch_size);
    DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 256), DX_PATCH_EHEADER);
    drop(&p);
    small = SMALL_ONLY;
}
#endif

/* Every number in a bit-coded patch, and every byte value. */
DX_TEST(flash_bits_say_every_number)
{
    (void)c;
    static uint16_t rows[DX_PATCH_P_B_WORDS];
    static uint8_t coded[1 << 16];
    uint64_t state = 3;
    uint32_t all[3000];
    dx_patch_p_coder w, d;
    memset(&w, 0, sizeof w);
    memset(&d, 0, sizeof d);
    w.bits_ = d.bits_ = true;
    w.rows_ = d.rows_ = rows;
    for (uint32_t i = 0; i < 3000; i++) all[i] = (uint32_t)(dx_test_random(&state) & UINT32_MAX) >> i % 32;
    all[0] = UINT32_MAX - 1;
    dx_patch_p_f_rows(&w);
    dx_patch_p_start_writing(&w, coded, sizeof coded);
    for (uint32_t i = 0; i < 3000; i++) (void)dx_patch_p_f_number(&w, i % 6, all[i] < UINT32_MAX ? all[i] : 0);
    for (uint32_t i = 0; i < 3000; i++) (void)dx_patch_p_f_byte(&w, i & 1 ? DX_PATCH_P_F_WRONG : DX_PATCH_P_F_LITERAL, all[i] & 255);
    dx_patch_p_finish_writing(&w);
    d.source_ = coded;
    d.size_ = w.at_;
    dx_patch_p_f_rows(&d);
    dx_patch_p_start_reading(&d);
    for (uint32_t i = 0; i < 3000; i++) DX_CHECK_EQ(dx_patch_p_f_number(&d, i % 6, 0), all[i] < UINT32_MAX ? all[i] : 0);
    for (uint32_t i = 0; i < 3000; i++)
        DX_CHECK_EQ(dx_patch_p_f_byte(&d, i & 1 ? DX_PATCH_P_F_WRONG : DX_PATCH_P_F_LITERAL, 0), all[i] & 255);
    DX_CHECK(d.at_ == d.size_ && !d.overrun_);
}

/* The hash of a slot equals that of a buffer, around each boundary of blocks, chunks and subtrees. */
DX_TEST(flash_hash_of_a_slot)
{
    (void)c;
    static dx_patch_flash f;
    static uint8_t bytes[40000], written[2500];
    sim s;
    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i % 251);
    s.slot = bytes;
    s.written = written;
    s.slot_size = sizeof bytes;
    s.page = 256;
    for (uint32_t size = 0; size < 40000; size += size % 1024 < 2 || size % 1024 > 1020 || size < 300 ? 1 : 61) {
        uint8_t hash[32];
        memset(&f, 0, sizeof f);
        f.desc_ = wire(&s);
        f.total_ = 2 * sizeof bytes;
        dx_patch_hash(bytes, size, hash);
        DX_CHECK(dx_patch_p_f_holds(&f, size, hash));
        hash[size % 32] ^= 4;
        f.step_end_ = 0;
        DX_CHECK(!dx_patch_p_f_holds(&f, size, hash));
    }
}

DX_TEST(w_1_flash_another_base_and_another_state_are_refused)
{
    (void)c;
    bool changed;
    static const size_t sizes[][3] = {{9000, 9200, 200}, {9000, 4000, 100}, {3000, 9000, 40}};
    for (size_t k = 0; k < 3; k++) {
        pair p;
        generate(&p, sizes[k][0], sizes[k][1], sizes[k][2]);
        make(&p, 512, 2);
        for (size_t i = 0; i < p.base_size; i += 97) {
            p.base[i] ^= 1;
            DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 512),
                        DX_PATCH_EBASE);
            DX_CHECK(!changed);
            p.base[i] ^= 1;
        }
        DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, 0, &changed, p.slot_size, 512), DX_PATCH_EBASE);
        DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.target, p.target_size, &changed, p.slot_size, 512),
                    DX_PATCH_EAPPLIED);
        DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size - 512, 512),
                    DX_PATCH_ENOSPACE);
        DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, p.slot_size, 1024),
                    DX_PATCH_ENOTSUP);
        DX_CHECK(!changed);
        drop(&p);
    }
}

/* An interrupted run of another patch is not resumed. */
DX_TEST(flash_the_rest_of_another_run_is_refused)
{
    (void)c;
    static dx_patch_flash f;
    pair p, other;
    generate(&p, 9000, 9200, 200);
    generate(&other, 9000, 9200, 404);
    make(&p, 512, 2);
    make(&other, 512, 2);
    for (long cut = 66; cut < 96; cut += 3) { /* pages of the base are lost by then */
        sim s = start(&p, p.base, p.base_size);
        dx_patch_flash_desc d = wire(&s);
        s.cut = cut;
        DX_CHECK_EQ(dx_patch_flash_apply(&f, &d), DX_PATCH_ESYS);
        s.off = false;
        d.patch = other.patch;
        d.patch_size = other.patch_size;
        long before = s.operations;
        DX_CHECK_EQ(dx_patch_flash_apply(&f, &d), DX_PATCH_EBASE);
        DX_CHECK_EQ(s.operations, before);
        stop(&s);
    }
    drop(&p);
    drop(&other);
}

/* Any body with valid checksums ends, writes only where it may (the simulator checks), and never reports a wrong success. */
DX_PROPERTY(flash_invented_bodies, 3000)
{
    static uint8_t patch[128 + 200];
    size_t size = 132 + (size_t)dx_choose(c, 190);
    bool changed;
    pair p;
    generate(&p, 1000 + (size_t)dx_choose(c, 1000), 1000 + (size_t)dx_choose(c, 1000), 40);
    make(&p, 256, 2);
    memcpy(patch, p.patch, 128);
    dx_choose_bytes(c, patch + 128, size - 128);
    if (dx_choose(c, 3)) patch[128] = (uint8_t)dx_choose(c, 7), memset(patch + 129, 0, 3);
    if (dx_choose(c, 1) && p.patch_size < 300) { /* a valid one with changes */
        size = p.patch_size;
        memcpy(patch, p.patch, size);
        patch[128 + dx_choose(c, size - 129)] = (uint8_t)dx_choose(c, 255);
    }
    dx_patch_p_store64(patch + 24, size - 128);
    seal(patch, size);
    (void)apply_to(&p, patch, size, p.base, p.base_size, &changed, p.slot_size, 256);
    drop(&p);
}

DX_TEST(flash_create_and_apply_refuse_bad_arguments)
{
    (void)c;
    static uint8_t memory[1 << 18], bytes[4096], patch[8192];
    static dx_patch_flash f;
    dx_patch_create_desc d;
    size_t size;
    memset(&d, 0, sizeof d);
    d.kind = DX_PATCH_KIND_FLASH;
    d.memory = memory;
    d.memory_size = sizeof memory;
    static const uint32_t bad[] = {1, 128, 300, 1u << 21};
    for (int i = 0; i < 4; i++) {
        d.block_size = bad[i];
        DX_CHECK_EQ(dx_patch_create(&d, bytes, 100, bytes, 50, patch, sizeof patch, &size), DX_PATCH_EINVAL);
    }
    d.block_size = 256;
    d.slot_size = 4096; /* as large as the base: no spare page */
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), DX_PATCH_EINVAL);
    d.slot_size = 4352;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, 150, &size), DX_PATCH_ENOSPACE);
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(patch[7], DX_PATCH_CODING_RANGE);
    d.codings = 1u << DX_PATCH_CODING_BITS;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), 0);
    DX_CHECK_EQ(patch[7], DX_PATCH_CODING_BITS);
    d.codings = 0;
    d.apply_memory_max = 703;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), DX_PATCH_ETOOBIG);
    d.apply_memory_max = 704;
    d.codings = 1u << DX_PATCH_CODING_RANGE;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), DX_PATCH_ETOOBIG);
    d.apply_memory_max = 0;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), 0);
    size_t got;
    DX_CHECK_EQ(dx_patch_apply(bytes, 4096, patch, size, memory, 4096, &got, memory + 8192, 1 << 17),
                DX_PATCH_ENOTSUP); /* only flash_apply knows the order */
    d.memory_size = 60000;
    DX_CHECK_EQ(dx_patch_create(&d, bytes, 4096, bytes, 50, patch, sizeof patch, &size), DX_PATCH_ENOMEM);
    dx_patch_flash_desc e;
    memset(&e, 0, sizeof e);
    DX_CHECK_EQ(dx_patch_flash_apply(&f, &e), DX_PATCH_EINVAL);
    DX_CHECK_EQ(dx_patch_flash_apply(NULL, &e), DX_PATCH_EINVAL);
    e.io = sim_io;
    e.page_size = 256;
    DX_CHECK_EQ(dx_patch_flash_apply(&f, &e), DX_PATCH_ENOPATCH);
}

/* Coded bytes that end too early anywhere, with valid checksums: refused as such, before anything is erased. */
DX_TEST(flash_streams_that_end_early)
{
    static dx_patch_flash f;
    uint64_t state = 21;
    pair p;
    memset(&p, 0, sizeof p);
    p.base_size = p.target_size = 2000;
    p.base = (uint8_t *)malloc(2000);
    p.target = (uint8_t *)malloc(2000);
    for (size_t i = 0; i < 2000; i++) p.base[i] = p.target[i] = (uint8_t)(dx_test_random(&state) & 255);
    for (size_t i = 100; i < 1900; i += 100) { /* moved pieces, wrong bytes and new ones */
        memcpy(p.target + i, p.base + 1900 - i, 70);
        p.target[i + 30] ^= 5;
    }
    make(&p, 256, 2);
    uint8_t *const whole = p.patch;
    const size_t whole_size = p.patch_size, stream_at = 128 + 4 * (1 + 8 + 8);
    for (size_t size = stream_at; size + 8 < whole_size; size++) {
        p.patch = (uint8_t *)malloc(size);
        p.patch_size = size;
        memcpy(p.patch, whole, size);
        dx_patch_p_store64(p.patch + 24, size - 128);
        seal(p.patch, size);
        sim s = start(&p, p.base, p.base_size);
        dx_patch_flash_desc d = wire(&s);
        DX_CHECK_EQ(dx_patch_flash_apply(&f, &d), DX_PATCH_ECORRUPT);
        DX_CHECK_EQ(s.operations, 0);
        DX_CHECK_MEM(s.slot, p.base, p.base_size);
        stop(&s);
        free(p.patch);
    }
    p.patch = whole;
    drop(&p);
}

/* A slot too small for the result, whatever room the patch states: refused before anything is changed. */
DX_TEST(flash_a_slot_smaller_than_the_target)
{
    uint64_t state = 22;
    pair p;
    bool changed;
    memset(&p, 0, sizeof p);
    p.base_size = 200;
    p.target_size = 1500;
    p.base = (uint8_t *)malloc(p.base_size);
    p.target = (uint8_t *)malloc(p.target_size);
    for (size_t i = 0; i < p.target_size; i++) p.target[i] = (uint8_t)(dx_test_random(&state) & 255);
    memcpy(p.base, p.target, p.base_size);
    make(&p, 256, 2);
    const size_t need = pages(p.target_size, p.page);
    for (uint32_t gap = 1; gap < 8; gap++) {
        dx_patch_p_store32(p.patch + 128, gap);
        seal(p.patch, p.patch_size);
        for (size_t room = 1; room < need; room++) {
            DX_CHECK_EQ(apply_to(&p, p.patch, p.patch_size, p.base, p.base_size, &changed, room * p.page, (uint32_t)p.page),
                        DX_PATCH_ENOSPACE);
            DX_CHECK(!changed);
        }
    }
    drop(&p);
}

DX_TEST(flash_vector)
{
    (void)c;
    static uint8_t wanted[1000];
    pair p;
    memset(&p, 0, sizeof p);
    p.base_size = p.target_size = 600;
    p.base = (uint8_t *)malloc(600);
    p.target = (uint8_t *)malloc(600);
    for (size_t i = 0; i < 600; i++) {
        p.base[i] = (uint8_t)i;
        p.target[i] = i < 30 ? 7 : (uint8_t)(i - 30);
    }
    for (small = SMALL_ONLY; small < 2; small++) {
        make(&p, 256, 2);
        size_t size = dx_test_vector("docs/formats/patch.md", small ? "flash-bits" : "flash", wanted, sizeof wanted);
        for (size_t i = 0; i < p.patch_size && size != p.patch_size; i++) printf("%02x%c", p.patch[i], i % 16 == 15 ? '\n' : ' ');
        DX_CHECK_EQ(size, p.patch_size);
        DX_CHECK_MEM(p.patch, wanted, p.patch_size);
        cut_everywhere(&p);
        if (!small) free(p.patch);
    }
    small = SMALL_ONLY;
    drop(&p);
}
