/* HTIP (docs/formats/htip.md): the reader and writer of layers/dx_htip.h, HTML on a server. */
#define DX_IMPLEMENTATION
#include "../../examples/www/htip_html.h"
#include "../../dx_hbtp.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { NODES = 40 };
static const char card[] = "<p class=\"a\"><b data-slot=\"\"></b></p>";

/* A writer with room for what a test writes, and its stream. */
typedef struct writer {
    dx_htip_writer w;
    uint64_t memory[32768];
    uint8_t stream[80000];
    size_t size;
} writer;

static writer *writer_new(void)
{
    static writer one;
    dx_htip_writer_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = one.memory;
    desc.memory_size = sizeof one.memory;
    DX_CHECK_EQ(dx_htip_writer_init(&one.w, &desc), DX_HTIP_OK);
    return &one;
}

static void finish(writer *w) { DX_CHECK_EQ(dx_htip_finish(&w->w, w->stream, sizeof w->stream, &w->size), DX_HTIP_OK); }
static dx_htip_text of(const char *text) { return dx_htip_text_of(text); }

static void expect_html(const htip_page *page, const char *html)
{
    htip_buffer out = {NULL, 0, 0};
    htip_page_html(page, &out);
    htip_put(&out, "", 1);
    DX_CHECK_STR((char *)out.data, html);
    free(out.data);
}

/* Apply one stream to an empty page. */
static int try_bytes(const uint8_t *bytes, size_t size)
{
    htip_page page;
    uint8_t *copy = malloc(size + !size); /* a copy of its own, so that a sanitizer detects every access beyond it */
    memcpy(copy, bytes, size);
    htip_page_open(&page, NODES);
    int error = htip_page_render(&page, copy, size);
    if (error) {
        DX_CHECK(page.root.first == NULL);
        DX_CHECK_EQ(page.nodes.used, 0);
    }
    htip_page_close(&page);
    free(copy);
    return error;
}

static int try_writer(writer *w)
{
    finish(w);
    return try_bytes(w->stream, w->size);
}

static int try_markup(const char *markup)
{
    writer *w = writer_new();
    dx_htip_add_template(&w->w, 1, markup, strlen(markup));
    dx_htip_clone(&w->w, 1, 1, 0);
    return try_writer(w);
}

static size_t vector(const char *name, uint8_t *bytes) { return dx_test_vector("docs/formats/htip.md", name, bytes, 512); }

/* W-18: the bytes in the document are those of the writer, header included. */
DX_TEST(ht_1_w_18_vectors)
{
    uint8_t bytes[512];
    htip_page page;
    writer *w = writer_new();
    size_t size = vector("card", bytes);
    htip_page_open(&page, NODES);
    DX_CHECK_EQ(htip_page_render(&page, bytes, size), DX_HTIP_OK);
    expect_html(&page, "<p class=\"a on\"><b data-slot=\"\">Hi &amp; &lt;you&gt;</b></p>");
    DX_CHECK_EQ(page.nodes.used, 2);
    dx_htip_add_template(&w->w, 7, card, strlen(card));
    dx_htip_begin(&w->w);
    dx_htip_clone(&w->w, 1, 7, 0);
    dx_htip_set_text(&w->w, 2, of("Hi & <you>"));
    dx_htip_set_class(&w->w, 1, of("on"), true);
    dx_htip_commit(&w->w);
    finish(w);
    DX_CHECK_EQ(w->size, size);
    DX_CHECK_MEM(w->stream, bytes, size);
    size = vector("more", bytes);
    DX_CHECK_EQ(htip_page_render(&page, bytes, size), DX_HTIP_OK);
    expect_html(&page, "<p class=\"a on\"><b data-slot=\"\">more</b></p>");
    DX_CHECK_EQ(try_bytes(bytes, size), DX_HTIP_ENODE); /* no node exists that it could refer to */
    htip_page_close(&page);
}

DX_TEST(st_2_html_of_every_operation)
{
    writer *w = writer_new();
    htip_page page;
    dx_htip_add_template(&w->w, 1, "<ul class=\" x  y x\"></ul>", strlen("<ul class=\" x  y x\"></ul>"));
    const char *li = "<li title=\"&quot;&lt;\">one &amp; <b data-slot=\"\">two</b><br><i data-slot=\"\"></i></li>";
    dx_htip_add_template(&w->w, 2, li, strlen(li));
    dx_htip_clone(&w->w, 1, 1, 0);
    dx_htip_clone(&w->w, 10, 2, 1);
    dx_htip_clone(&w->w, 20, 2, 1);
    dx_htip_clone(&w->w, 30, 2, 12);
    dx_htip_set_attribute(&w->w, 11, of("title"), of("<&>\"\xc2\xa0"));
    dx_htip_set_style(&w->w, 11, of("color"), of("red"));
    dx_htip_set_style(&w->w, 11, of("--size"), of("1px"));
    dx_htip_set_style(&w->w, 11, of("color"), of("green"));
    dx_htip_set_class(&w->w, 1, of("z"), true);
    dx_htip_set_class(&w->w, 1, of("x"), false);
    dx_htip_set_class(&w->w, 1, of("z"), true);
    dx_htip_set_class(&w->w, 11, of("none"), false);
    dx_htip_set_text(&w->w, 30, of("\xc2\xa0three"));
    dx_htip_remove(&w->w, 21);
    dx_htip_set_text(&w->w, 22, of(""));
    finish(w);
    htip_page_open(&page, NODES);
    DX_CHECK_EQ(htip_page_render(&page, w->stream, w->size), DX_HTIP_OK);
    expect_html(&page, "<ul class=\"y z\"><li title=\"&quot;&lt;\">one &amp; <b data-slot=\"\" title=\"&lt;&amp;&gt;&quot;&nbsp;\" "
                       "style=\"color: green; --size: 1px;\">two</b><br><i data-slot=\"\"><li title=\"&quot;&lt;\">&nbsp;three</li></i></li>"
                       "<li title=\"&quot;&lt;\">one &amp; <br><i data-slot=\"\"></i></li></ul>");
    DX_CHECK_EQ(page.nodes.used, 1 + 3 + 2 + 1); /* 31 and 32 went with the text, 21 by itself */
    htip_page_close(&page);
}

DX_TEST(ht_5_w_17_every_error_ends_the_stream_with_its_number)
{
    static const struct {
        size_t at;
        uint8_t byte;
        int error;
    } changes[] = {
        {0, 0, DX_HTIP_EMAGIC}, {1, 0, DX_HTIP_EMAGIC}, {2, 1, DX_HTIP_EVERSION}, {2, 3, DX_HTIP_EVERSION}, {3, 1, DX_HTIP_EFLAGS}, {3, 7, DX_HTIP_EFLAGS},
        {4, 0, DX_HTIP_EFLAGS}, {4, 2, DX_HTIP_ERESERVED}, {6, 2, DX_HTIP_EUTF8}, {8, 4, DX_HTIP_EBATCH}, {8, 6, DX_HTIP_ETRUNCATED}, {12, 0x70, DX_HTIP_ESIZE},
        {12, 0x72, DX_HTIP_ETRUNCATED}, {16, 1, DX_HTIP_ETABLE}, {20, 0x24, DX_HTIP_ETABLE}, {22, 1, DX_HTIP_ERESERVED}, {77, 0xff, DX_HTIP_EUTF8},
        {77, 0, DX_HTIP_EUTF8}, {40, '>', DX_HTIP_EMARKUP}, {89, 9, DX_HTIP_ETEMPLATE}, {91, 3, DX_HTIP_ESTRING}, {93, 2, DX_HTIP_EMARKUP},
        {94, 1, DX_HTIP_ERESERVED}, {97, 11, DX_HTIP_EOPCODE}, {97, 0, DX_HTIP_EOPCODE}, {98, 1, DX_HTIP_ERESERVED}, {99, 1, DX_HTIP_ERESERVED},
        {97, 8, DX_HTIP_EBATCH}, {107, 1, DX_HTIP_ENODE}, {103, NODES, DX_HTIP_ENODEMAX}, {103, 0, DX_HTIP_ENODEUSED}, {105, 8, DX_HTIP_ETEMPLATE},
        {111, 3, DX_HTIP_ENODE}, {111, 0, DX_HTIP_ENODE}, {113, 3, DX_HTIP_ESTRING}, {115, 1, DX_HTIP_ERESERVED}, {121, 9, DX_HTIP_ESTRING},
        {123, 2, DX_HTIP_ERESERVED}, {125, 7, DX_HTIP_EBATCH},
    };
    uint8_t bytes[512];
    int wrong = 0;
    size_t size = vector("card", bytes);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t was = bytes[changes[i].at];
        bytes[changes[i].at] = changes[i].byte;
        if (try_bytes(bytes, size) != changes[i].error) {
            printf("byte %d as %d: %d instead of %d\n", (int)changes[i].at, changes[i].byte, try_bytes(bytes, size), changes[i].error);
            wrong++;
        }
        bytes[changes[i].at] = was;
    }
    DX_CHECK_EQ(wrong, 0);
    /* The numbers that the format had first, and those of its document: each error has one of its own. */
    static const int codes[] = {DX_HTIP_OK, DX_HTIP_EMAGIC, DX_HTIP_EVERSION, DX_HTIP_EOPCODE, DX_HTIP_ETEMPLATE, DX_HTIP_ESTRING, DX_HTIP_ENODE,
                                DX_HTIP_ETRUNCATED, DX_HTIP_EFLAGS, DX_HTIP_ERESERVED, DX_HTIP_ESIZE, DX_HTIP_ETABLE, DX_HTIP_EUTF8, DX_HTIP_EMARKUP,
                                DX_HTIP_ENAME, DX_HTIP_ENODEUSED, DX_HTIP_ENODEMAX, DX_HTIP_EBATCH};
    for (int code = 0; code < (int)(sizeof codes / sizeof *codes); code++) DX_CHECK_EQ(dx_htip_code_of_error(codes[code]), code);
    for (size_t i = 0; i < size; i++) DX_CHECK_EQ(try_bytes(bytes, i), DX_HTIP_ETRUNCATED);
    bytes[size] = 0;
    DX_CHECK_EQ(try_bytes(bytes, size + 1), DX_HTIP_ESIZE);
}

DX_TEST(ht_2_markup_that_is_refused)
{
    static const char *const bad[] = {
        "", "text", "<p>", "<p></p> ", " <p></p>", "<p></p><p></p>", "<p></b>", "<P></P>", "<p ></p>", "<p a></p>", "<p a=b></p>", "<p a='b'></p>",
        "<p a=\"<\"></p>", "<p>a > b</p>", "<p>&nbsp;</p>", "<p>&#58;</p>", "<p>&amp</p>", "<p>\r</p>", "<script></script>", "<p><iframe></iframe></p>",
        "<p onclick=\"x\"></p>", "<p style=\"x\"></p>", "<a href=\"javascript:x\"></a>", "<a href=\" \tJava\nScript:x\"></a>", "<br>", "<p><br></br></p>",
        "<p data-slot=\"\"></p>", "<p><b data-slot=\"1\"></b></p>", "<p><b data-slot=\"\"><i data-slot=\"\"></i></b></p>",
        "<p><b data-slot=\"\" data-slot=\"\"></b></p>", "<p/>", "<!-- -->", "<p><!-- --></p>", "<svg></svg>", "<p", "<", "<p a=\"", "<-p></-p>",
        "<frame src=\"/x\"></frame>", "<div><frame></frame></div>", "<frameset></frameset>", "<body></body>", "<html></html>", "<head></head>", "<applet></applet>",
        "<noembed></noembed>", "<noframes></noframes>", "<marquee></marquee>", "<p><param></param></p>", "<image></image>", "<fencedframe></fencedframe>",
        "<portal></portal>", "<x-card></x-card>", "<pre></pre>", "<abbrs></abbrs>", "<d></d>", "<ab></ab>", "<j></j>", "<z></z>"};
    char deep[1024] = "";
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (try_markup(bad[i]) != DX_HTIP_EMARKUP) {
            printf("taken: %s\n", bad[i]);
            wrong++;
        }
    DX_CHECK_EQ(wrong, 0);
    for (int i = 0; i < DX_HTIP_DEPTH_MAX; i++) strcat(deep, "<b>");
    for (int i = 0; i < DX_HTIP_DEPTH_MAX; i++) strcat(deep, "</b>");
    DX_CHECK_EQ(try_markup(deep), DX_HTIP_OK);
    memmove(deep + 3, deep, strlen(deep) + 1);
    memcpy(deep, "<b>", 3);
    strcat(deep, "</b>");
    DX_CHECK_EQ(try_markup(deep), DX_HTIP_EMARKUP);
    DX_CHECK_EQ(try_markup("<a href=\"?a=1&amp;b=javascript:\">\n\t\xe2\x82\xac</a>"), DX_HTIP_OK);
}

DX_TEST(ht_3_names_that_are_refused)
{
    static const char *const names[][2] = {{"onclick", "x"}, {"style", "x"}, {"srcdoc", "x"}, {"Title", "x"}, {"", "x"}, {"a b", "x"},
                                           {"href", "JAVASCRIPT:x"}, {"data-slot", ""}};
    static const char *const styles[][2] = {{"color", ""}, {"color", "red; x: y"}, {"Color", "red"}, {"background", "url(x)"}, {"--", "1"}};
    for (size_t i = 0; i < sizeof names / sizeof *names + sizeof styles / sizeof *styles + 3; i++) {
        writer *w = writer_new();
        size_t k = i - sizeof names / sizeof *names, class = k - sizeof styles / sizeof *styles;
        dx_htip_add_template(&w->w, 1, card, strlen(card));
        dx_htip_clone(&w->w, 1, 1, 0);
        if (i < sizeof names / sizeof *names) dx_htip_set_attribute(&w->w, 1, of(names[i][0]), of(names[i][1]));
        else if (k < sizeof styles / sizeof *styles) dx_htip_set_style(&w->w, 1, of(styles[k][0]), of(styles[k][1]));
        else dx_htip_set_class(&w->w, 1, of(class == 0 ? "" : class == 1 ? "a b" : "a\tb"), true);
        DX_CHECK_EQ(try_writer(w), DX_HTIP_ENAME);
    }
}

DX_TEST(ht_3_a_name_may_be_asked_about_before_it_is_written)
{
    static const char *const names[] = {"title", "onclick", "on", "one", "style", "srcdoc", "a b", "=\">", "Title", "", "--x", "data-slot", "1a", "a\tb", "-"};
    static const dx_htip_op ops[] = {DX_HTIP_ATTR, DX_HTIP_CLASS, DX_HTIP_STYLE};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) /* the reader is the model */
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
            writer *w = writer_new();
            dx_htip_add_template(&w->w, 1, card, strlen(card));
            dx_htip_clone(&w->w, 1, 1, 0);
            if (ops[k] == DX_HTIP_ATTR) dx_htip_set_attribute(&w->w, 1, of(names[i]), of("x"));
            if (ops[k] == DX_HTIP_CLASS) dx_htip_set_class(&w->w, 1, of(names[i]), true);
            if (ops[k] == DX_HTIP_STYLE) dx_htip_set_style(&w->w, 1, of(names[i]), of("x"));
            DX_CHECK_EQ(try_writer(w), dx_htip_is_name(ops[k], of(names[i])) ? DX_HTIP_OK : DX_HTIP_ENAME);
        }
    DX_CHECK(!dx_htip_is_name(DX_HTIP_TEXT, of("title")));
    DX_CHECK(!dx_htip_is_name(DX_HTIP_CLASS, (dx_htip_text){NULL, 0}));
}

DX_TEST(ht_6_a_stream_is_carried_out_whole_or_not_at_all)
{
    writer *good = writer_new(), *bad;
    htip_page page;
    htip_page_open(&page, NODES);
    dx_htip_add_template(&good->w, 1, card, strlen(card));
    dx_htip_clone(&good->w, 1, 1, 0);
    finish(good);
    DX_CHECK_EQ(htip_page_render(&page, good->stream, good->size), DX_HTIP_OK);
    bad = writer_new();
    dx_htip_begin(&bad->w);
    dx_htip_set_text(&bad->w, 2, of("changed"));
    dx_htip_remove(&bad->w, 1);
    dx_htip_commit(&bad->w);
    dx_htip_set_class(&bad->w, 1, of("gone"), true);
    finish(bad);
    DX_CHECK_EQ(htip_page_render(&page, bad->stream, bad->size), DX_HTIP_ENODE);
    expect_html(&page, "<p class=\"a\"><b data-slot=\"\"></b></p>");
    DX_CHECK_EQ(page.nodes.used, 2);
    htip_page_close(&page);
}

/* A page's changes as HBTP frames: an opcode for each kind of change, HtipBatch for any stream. The reader gets them in pieces
   of any size and carries out each frame as a whole or not at all. */
static void send(dx_hbtp_out *out, uint16_t opcode, uint16_t sequence, writer *w)
{
    finish(w);
    DX_CHECK_EQ(dx_hbtp_write_frame(out, opcode, 0, sequence, w->stream, (uint32_t)w->size), 0);
}

static void receive(htip_page *page, const uint8_t *bytes, size_t size, uint32_t piece, uint32_t *frames, bool broken)
{
    static const uint8_t operations[4] = {1, 2, 3, 5}; /* of HTIP: clone, text, attribute, remove */
    size_t begin = 0, end = 0;
    while (begin < size) {
        dx_hbtp_frame f;
        uint8_t *copy = malloc(end - begin + !(end - begin));
        memcpy(copy, bytes + begin, end - begin);
        const int64_t n = dx_hbtp_parse(copy, end - begin, 4096, &f);
        if (n > 0) {
            DX_CHECK(f.opcode >= DX_HBTP_OP_HTIP_CLONE && f.opcode <= DX_HBTP_OP_HTIP_BATCH && f.sequence == *frames);
            const uint32_t used = page->nodes.used;
            const int error = htip_page_render(page, f.payload, f.payload_size);
            if (broken) DX_CHECK(error && page->nodes.used == used);
            else DX_CHECK_EQ(error, 0);
            const uint8_t *last = f.payload + f.payload_size - (f.opcode == DX_HBTP_OP_HTIP_REMOVE ? 4 : 8);
            if (f.opcode != DX_HBTP_OP_HTIP_BATCH) DX_CHECK(f.payload[8] == 1 && *last == operations[f.opcode - DX_HBTP_OP_HTIP_CLONE]);
            begin += (size_t)n;
            (*frames)++;
        } else {
            DX_CHECK(n == 0 && end < size);
            end = end + piece < size ? end + piece : size;
        }
        free(copy);
    }
}

DX_TEST(ht_9_streams_are_carried_by_hbtp)
{
    static uint8_t memory[8192];
    for (uint32_t piece = 1; piece < 400; piece = piece * 3 / 2 + 1)
        for (int broken = 0; broken < 2; broken++) {
            htip_page page;
            dx_hbtp_out out;
            uint32_t frames = 0;
            size_t size;
            DX_CHECK_EQ(dx_hbtp_out_init(&out, memory, sizeof memory), 0);
            dx_hbtp_out_set_checksum(&out, piece % 2);
            writer *w = writer_new();
            dx_htip_add_template(&w->w, 7, card, strlen(card));
            dx_htip_clone(&w->w, 1, 7, 0);
            send(&out, DX_HBTP_OP_HTIP_CLONE, 0, w);
            dx_htip_set_text(&(w = writer_new())->w, 2, of("Hi"));
            send(&out, DX_HBTP_OP_HTIP_PATCH_TEXT, 1, w);
            dx_htip_set_attribute(&(w = writer_new())->w, 2, of("title"), of("t"));
            send(&out, DX_HBTP_OP_HTIP_PATCH_ATTR, 2, w);
            w = writer_new();
            dx_htip_add_template(&w->w, 7, card, strlen(card));
            dx_htip_begin(&w->w);
            dx_htip_clone(&w->w, 5, 7, 0);
            dx_htip_set_class(&w->w, 5, of("on"), true);
            dx_htip_commit(&w->w);
            send(&out, DX_HBTP_OP_HTIP_BATCH, 3, w);
            dx_htip_remove(&(w = writer_new())->w, broken ? 9 : 5); /* node 9 was never there */
            send(&out, DX_HBTP_OP_HTIP_REMOVE, 4, w);
            const uint8_t *bytes = dx_hbtp_out_data(&out, &size);
            htip_page_open(&page, NODES);
            size_t good = size;
            if (broken) good -= 8 + w->size + (piece % 2 ? 4 : 0);
            receive(&page, bytes, good, piece, &frames, false);
            DX_CHECK_EQ(frames, broken ? 4 : 5);
            receive(&page, bytes + good, size - good, piece, &frames, true);
            expect_html(&page, broken ? "<p class=\"a\"><b data-slot=\"\" title=\"t\">Hi</b></p><p class=\"a on\"><b data-slot=\"\"></b></p>"
                                      : "<p class=\"a\"><b data-slot=\"\" title=\"t\">Hi</b></p>");
            htip_page_close(&page);
        }
}

DX_TEST(ht_7_w_19_strings_are_shared_by_content)
{
    writer *w = writer_new();
    dx_htip_set_text(&w->w, 1, of("one"));
    size_t size = w->w.text_size_;
    dx_htip_set_text(&w->w, 2, of("on"));
    dx_htip_set_text(&w->w, 3, of(""));
    dx_htip_set_text(&w->w, 1, of("one"));
    dx_htip_set_text(&w->w, 3, of(""));
    DX_CHECK_EQ(w->w.string_count_, 3);
    DX_CHECK_EQ(w->w.text_size_, size + 2);
    for (int i = 0; i < 500; i++) { /* more than may collide in one slot of the table */
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        DX_CHECK_EQ(dx_htip_set_text(&w->w, 1, of(text)), DX_HTIP_OK);
        DX_CHECK_EQ(w->w.string_count_, (uint32_t)(i + 4));
    }
}

DX_TEST(ht_1_rows_are_the_clones_and_texts_that_they_stand_for)
{
    uint8_t bytes[512];
    size_t size = vector("rows", bytes);
    const dx_htip_text texts[2] = {of("a"), of("b")};
    const char *li = "<li><b data-slot=\"\"></b></li>";
    writer *w = writer_new();
    htip_page page;
    dx_htip_add_template(&w->w, 1, li, strlen(li));
    dx_htip_rows(&w->w, 1, 1, 0, 2, texts, 1);
    dx_htip_move(&w->w, 3, 1);
    finish(w);
    DX_CHECK_EQ(w->size, size);
    DX_CHECK_MEM(w->stream, bytes, size);
    htip_page_open(&page, NODES);
    DX_CHECK_EQ(htip_page_render(&page, bytes, size), DX_HTIP_OK);
    DX_CHECK_EQ(page.nodes.used, 4);
    expect_html(&page, "<li><b data-slot=\"\">b</b></li><li><b data-slot=\"\">a</b></li>");
    for (size_t i = 0; i < size; i++) DX_CHECK_EQ(try_bytes(bytes, i), DX_HTIP_ETRUNCATED);
    static const struct {
        size_t back; /* from the end */
        uint8_t byte;
        int error;
    } changes[] = {{8, 11, DX_HTIP_EOPCODE}, {7, 1, DX_HTIP_ERESERVED}, {6, 2, DX_HTIP_ENODE}, {6, 9, DX_HTIP_ENODE}, {4, 2, DX_HTIP_ENODE},
                   {4, 7, DX_HTIP_ENODE}, {2, 1, DX_HTIP_ERESERVED}, {10, 2, DX_HTIP_ESTRING}, {12, 3, DX_HTIP_ESTRING}, {14, 9, DX_HTIP_ENODE},
                   {16, 2, DX_HTIP_ETEMPLATE}, {18, NODES - 3, DX_HTIP_ENODEMAX}, {18, 0, DX_HTIP_ENODEUSED}, {11, 1, DX_HTIP_ESTRING}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t *p = bytes + size - changes[i].back, was = *p;
        *p = changes[i].byte;
        DX_CHECK_EQ(try_bytes(bytes, size), changes[i].error);
        *p = was;
    }
    htip_page_close(&page);
}

/* A reader's work is proportional to the size of the stream. */
DX_TEST(ht_8_what_a_reader_does_grows_with_the_stream)
{
    writer *w = writer_new();
    const char *p = "<p></p>";
    dx_htip_add_template(&w->w, 1, p, strlen(p));
    dx_htip_add_template(&w->w, 2, p, strlen(p));
    DX_CHECK_EQ(try_writer(w), DX_HTIP_ETABLE); /* one string, parsed for each template */
    for (int rows = 65535 / 30; rows <= 65535 / 30 + 1; rows++) { /* added and removed again and again */
        w = writer_new();
        dx_htip_add_template(&w->w, 1, p, strlen(p));
        dx_htip_clone(&w->w, 1, 1, 0);
        for (int i = 0; i < rows; i++) {
            dx_htip_rows(&w->w, 3, 1, 1, 30, NULL, 0);
            dx_htip_set_text(&w->w, 1, of(""));
        }
        DX_CHECK_EQ(try_writer(w), rows == 65535 / 30 ? DX_HTIP_OK : DX_HTIP_ENODEMAX);
    }
    char long_name[300], long_value[1100];
    memset(long_name, 'a', sizeof long_name);
    memset(long_value, 'a', sizeof long_value);
    for (int kind = 0; kind < 6; kind++) {
        const dx_htip_text name = {(uint8_t *)long_name, 256 + (kind & 1)}, value = {(uint8_t *)long_value, 1024 + (kind & 1)};
        w = writer_new();
        dx_htip_add_template(&w->w, 1, p, strlen(p));
        dx_htip_clone(&w->w, 1, 1, 0);
        if (kind < 2) dx_htip_set_class(&w->w, 1, name, true);
        else if (kind < 4) dx_htip_set_attribute(&w->w, 1, name, of("x"));
        else dx_htip_set_style(&w->w, 1, of("color"), value);
        DX_CHECK_EQ(try_writer(w), kind & 1 ? DX_HTIP_ENAME : DX_HTIP_OK);
    }
}

/* A full writer adds an operation in full or not at all, and reports an error until it is finished or restarted. */
DX_PROPERTY(ht_7_a_writer_with_little_room_says_so, 300)
{
    uint64_t memory[64];
    dx_htip_writer_desc desc;
    dx_htip_writer w;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_size = dx_choose(c, sizeof memory);
    desc.strings_max = (uint32_t)dx_choose(c, 6);
    desc.templates_max = (uint32_t)dx_choose(c, 3);
    desc.ops_size_max = (uint32_t)dx_choose(c, 64);
    if (dx_htip_writer_init(&w, &desc)) return;
    int first = 0;
    uint32_t ops = 0;
    for (uint64_t n = dx_choose(c, 12); n; n--) {
        const dx_htip_text texts[4] = {of("a"), of(""), of("ccc"), of("a")};
        uint16_t node = (uint16_t)dx_choose(c, 99);
        int error;
        switch (dx_choose(c, 3)) {
        case 0: error = dx_htip_add_template(&w, node, card, strlen(card)); break;
        case 1: error = dx_htip_set_text(&w, node, texts[dx_choose(c, 3)]); break;
        case 2: error = dx_htip_rows(&w, node, 1, 0, 2, texts, 2); break;
        default: error = dx_htip_set_attribute(&w, node, of("title"), texts[dx_choose(c, 3)]); break;
        }
        DX_CHECK(error == DX_HTIP_OK || error == DX_HTIP_ENOSPACE || error == DX_HTIP_EINVAL);
        if (!first) first = error;
        ops += !error;
    }
    uint8_t out[1024];
    size_t size, again;
    DX_CHECK_EQ(dx_htip_finish(&w, NULL, 0, &size), first ? first : DX_HTIP_ENOSPACE);
    DX_CHECK_EQ(dx_htip_finish(&w, out, sizeof out, &again), first);
    if (first) return;
    DX_CHECK_EQ(size, again);
    DX_CHECK_EQ(out[8] + w.template_count_, ops - out[4]);
    DX_CHECK_EQ(dx_htip_finish(&w, out, sizeof out, &size), DX_HTIP_OK);
    DX_CHECK_EQ(size, 16); /* empty again */
}

/* Streams of random operations: the reader's set of nodes equals the page's. */
DX_PROPERTY(ht_3_random_operations, 2000)
{
    htip_page page;
    htip_page_open(&page, NODES);
    for (uint64_t streams = dx_choose(c, 3); streams; streams--) {
        writer *w = writer_new();
        dx_htip_add_template(&w->w, 1, "<p><b data-slot=\"\"></b><i data-slot=\"\"></i></p>", strlen("<p><b data-slot=\"\"></b><i data-slot=\"\"></i></p>"));
        dx_htip_add_template(&w->w, 2, "<u></u>", strlen("<u></u>"));
        for (uint64_t ops = dx_choose(c, 12); ops; ops--) {
            uint16_t node = (uint16_t)dx_choose(c, NODES);
            switch (dx_choose(c, 7)) {
            case 0: dx_htip_clone(&w->w, node, (uint16_t)dx_choose_range(c, 1, 2), (uint16_t)dx_choose(c, 6)); break;
            case 1: dx_htip_set_text(&w->w, node, of("text")); break;
            case 2: dx_htip_remove(&w->w, node); break;
            case 6: dx_htip_move(&w->w, node, (uint16_t)dx_choose(c, NODES)); break;
            case 7: dx_htip_rows(&w->w, node, 2, (uint16_t)dx_choose(c, 6), (uint16_t)dx_choose(c, 4), NULL, 0); break;
            case 3: dx_htip_set_class(&w->w, node, of("on"), dx_choose(c, 1)); break;
            case 4: dx_htip_set_style(&w->w, node, of("color"), of("red")); break;
            default: dx_htip_set_attribute(&w->w, node, of("title"), of("x")); break;
            }
        }
        finish(w);
        htip_page_render(&page, w->stream, w->size);
        }
    uint32_t used = 0;
    for (uint32_t i = 1; i < NODES; i++) used += dx_htip_is_node(&page.nodes, i);
    DX_CHECK_EQ(used, page.nodes.used);
    htip_buffer out = {NULL, 0, 0};
    htip_page_html(&page, &out);
    uint32_t elements = 0;
    for (size_t i = 0; i + 1 < out.size; i++) elements += out.data[i] == '<' && out.data[i + 1] != '/';
    DX_CHECK_EQ(elements, used); /* in these templates every element is a node */
    free(out.data);
    htip_page_close(&page);
}

/* Arbitrary bytes, mostly almost valid. */
DX_PROPERTY(fuzz_htip, 5000)
{
    static const char *const names[] = {"more", "rows", "card"};
    static uint8_t kept[3][512]; /* the document is read once, not in each of the fuzzer's runs */
    static size_t sizes[3];
    const int which = dx_choose(c, 1) ? 0 : dx_choose(c, 1) ? 1 : 2;
    uint8_t bytes[512];
    if (!sizes[which]) sizes[which] = vector(names[which], kept[which]);
    size_t size = sizes[which];
    memcpy(bytes, kept[which], sizeof bytes);
    for (uint64_t n = dx_choose(c, 6); n; n--) bytes[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
    if (dx_choose(c, 1)) size = dx_choose(c, sizeof bytes - 1);
    int error = try_bytes(bytes, size);
    DX_CHECK(error == DX_HTIP_OK || (dx_htip_code_of_error(error) >= 1 && dx_htip_code_of_error(error) <= 17));
    DX_CHECK(strcmp(dx_htip_error_name(error), "unknown error") != 0);
}
