/* HTIP (docs/formats/htip.md): the reader, the writer, HTML on a server. */
#include "../../examples/www/htip_html.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

enum { NODES = 40 };
static const char card[] = "<p class=\"a\"><b data-slot=\"\"></b></p>";

static void expect_html(const htip_page *page, const char *html)
{
    htip_buffer out = {NULL, 0, 0};
    htip_page_html(page, &out);
    htip_put(&out, "", 1);
    DX_CHECK_STR((char *)out.data, html);
    free(out.data);
}

/* What one stream does to an empty page. */
static int try_bytes(const uint8_t *bytes, size_t size)
{
    htip_page page;
    uint8_t *copy = malloc(size + !size); /* its own, so that a sanitizer sees every byte too far */
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

static int try_writer(htip_writer *w)
{
    DX_CHECK(htip_finish(w));
    int error = try_bytes(w->stream.data, w->stream.size);
    htip_writer_free(w);
    return error;
}

static int try_markup(const char *markup)
{
    htip_writer w = {0};
    htip_add_template(&w, 1, markup);
    htip_clone(&w, 1, 1, 0);
    return try_writer(&w);
}

static size_t vector(const char *name, uint8_t *bytes) { return dx_test_vector("docs/formats/htip.md", name, bytes, 512); }

DX_TEST(ht_1_vectors)
{
    uint8_t bytes[512];
    htip_page page;
    htip_writer w = {0};
    size_t size = vector("card", bytes);
    htip_page_open(&page, NODES);
    DX_CHECK_EQ(htip_page_render(&page, bytes, size), HTIP_OK);
    expect_html(&page, "<p class=\"a on\"><b data-slot=\"\">Hi &amp; &lt;you&gt;</b></p>");
    DX_CHECK_EQ(page.nodes.used, 2);
    htip_add_template(&w, 7, card);
    htip_add_op(&w, HTIP_BATCH, 0, 0, 0);
    htip_clone(&w, 1, 7, 0);
    htip_text_of(&w, 2, "Hi & <you>");
    htip_class(&w, 1, "on", true);
    htip_add_op(&w, HTIP_COMMIT, 0, 0, 0);
    DX_CHECK(htip_finish(&w));
    DX_CHECK_EQ(w.stream.size, size);
    DX_CHECK_MEM(w.stream.data, bytes, size);
    htip_writer_free(&w);
    size = vector("more", bytes);
    DX_CHECK_EQ(htip_page_render(&page, bytes, size), HTIP_OK);
    expect_html(&page, "<p class=\"a on\"><b data-slot=\"\">more</b></p>");
    DX_CHECK_EQ(try_bytes(bytes, size), HTIP_ENODE); /* nothing is there to say it of */
    htip_page_close(&page);
}

DX_TEST(st_2_html_of_every_operation)
{
    htip_writer w = {0};
    htip_page page;
    htip_add_template(&w, 1, "<ul class=\" x  y x\"></ul>");
    htip_add_template(&w, 2, "<li title=\"&quot;&lt;\">one &amp; <b data-slot=\"\">two</b><br><i data-slot=\"\"></i></li>");
    htip_clone(&w, 1, 1, 0);
    htip_clone(&w, 10, 2, 1);
    htip_clone(&w, 20, 2, 1);
    htip_clone(&w, 30, 2, 12);
    htip_attribute(&w, 11, "title", "<&>\"\xc2\xa0");
    htip_style(&w, 11, "color", "red");
    htip_style(&w, 11, "--size", "1px");
    htip_style(&w, 11, "color", "green");
    htip_class(&w, 1, "z", true);
    htip_class(&w, 1, "x", false);
    htip_class(&w, 1, "z", true);
    htip_class(&w, 11, "none", false);
    htip_text_of(&w, 30, "\xc2\xa0three");
    htip_remove(&w, 21);
    htip_text_of(&w, 22, "");
    DX_CHECK(htip_finish(&w));
    htip_page_open(&page, NODES);
    DX_CHECK_EQ(htip_page_render(&page, w.stream.data, w.stream.size), HTIP_OK);
    expect_html(&page, "<ul class=\"y z\"><li title=\"&quot;&lt;\">one &amp; <b data-slot=\"\" title=\"&lt;&amp;&gt;&quot;&nbsp;\" "
                       "style=\"color: green; --size: 1px;\">two</b><br><i data-slot=\"\"><li title=\"&quot;&lt;\">&nbsp;three</li></i></li>"
                       "<li title=\"&quot;&lt;\">one &amp; <br><i data-slot=\"\"></i></li></ul>");
    DX_CHECK_EQ(page.nodes.used, 1 + 3 + 2 + 1); /* 31 and 32 went with the text, 21 by itself */
    htip_writer_free(&w);
    htip_page_close(&page);
}

DX_TEST(w_17_every_error_ends_the_stream_with_its_number)
{
    static const struct {
        size_t at;
        uint8_t byte;
        int error;
    } changes[] = {
        {0, 0, HTIP_EMAGIC}, {1, 0, HTIP_EMAGIC}, {2, 1, HTIP_EVERSION}, {2, 3, HTIP_EVERSION}, {3, 1, HTIP_EFLAGS}, {3, 7, HTIP_EFLAGS},
        {4, 0, HTIP_EFLAGS}, {4, 2, HTIP_ERESERVED}, {6, 2, HTIP_EUTF8}, {8, 4, HTIP_EBATCH}, {8, 6, HTIP_ETRUNCATED}, {12, 0x70, HTIP_ESIZE},
        {12, 0x72, HTIP_ETRUNCATED}, {16, 1, HTIP_ETABLE}, {20, 0x24, HTIP_ETABLE}, {22, 1, HTIP_ERESERVED}, {77, 0xff, HTIP_EUTF8},
        {77, 0, HTIP_EUTF8}, {40, '>', HTIP_EMARKUP}, {89, 9, HTIP_ETEMPLATE}, {91, 3, HTIP_ESTRING}, {93, 2, HTIP_EMARKUP},
        {94, 1, HTIP_ERESERVED}, {97, 9, HTIP_EOPCODE}, {97, 0, HTIP_EOPCODE}, {98, 1, HTIP_ERESERVED}, {99, 1, HTIP_ERESERVED},
        {97, 8, HTIP_EBATCH}, {107, 1, HTIP_ENODE}, {103, NODES, HTIP_ENODEMAX}, {103, 0, HTIP_ENODEUSED}, {105, 8, HTIP_ETEMPLATE},
        {111, 3, HTIP_ENODE}, {111, 0, HTIP_ENODE}, {113, 3, HTIP_ESTRING}, {115, 1, HTIP_ERESERVED}, {121, 9, HTIP_ESTRING},
        {123, 2, HTIP_ERESERVED}, {125, 7, HTIP_EBATCH},
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
    for (size_t i = 0; i < size; i++) DX_CHECK_EQ(try_bytes(bytes, i), HTIP_ETRUNCATED);
    bytes[size] = 0;
    DX_CHECK_EQ(try_bytes(bytes, size + 1), HTIP_ESIZE);
}

DX_TEST(ht_2_markup_that_is_refused)
{
    static const char *const bad[] = {
        "", "text", "<p>", "<p></p> ", " <p></p>", "<p></p><p></p>", "<p></b>", "<P></P>", "<p ></p>", "<p a></p>", "<p a=b></p>", "<p a='b'></p>",
        "<p a=\"<\"></p>", "<p>a > b</p>", "<p>&nbsp;</p>", "<p>&#58;</p>", "<p>&amp</p>", "<p>\r</p>", "<script></script>", "<p><iframe></iframe></p>",
        "<p onclick=\"x\"></p>", "<p style=\"x\"></p>", "<a href=\"javascript:x\"></a>", "<a href=\" \tJava\nScript:x\"></a>", "<br>", "<p><br></br></p>",
        "<p data-slot=\"\"></p>", "<p><b data-slot=\"1\"></b></p>", "<p><b data-slot=\"\"><i data-slot=\"\"></i></b></p>",
        "<p><b data-slot=\"\" data-slot=\"\"></b></p>", "<p/>", "<!-- -->", "<p><!-- --></p>", "<svg></svg>", "<p", "<", "<p a=\"", "<-p></-p>"};
    char deep[1024] = "";
    int wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (try_markup(bad[i]) != HTIP_EMARKUP) {
            printf("taken: %s\n", bad[i]);
            wrong++;
        }
    DX_CHECK_EQ(wrong, 0);
    for (int i = 0; i < HTIP_DEPTH_MAX; i++) strcat(deep, "<b>");
    for (int i = 0; i < HTIP_DEPTH_MAX; i++) strcat(deep, "</b>");
    DX_CHECK_EQ(try_markup(deep), HTIP_OK);
    memmove(deep + 3, deep, strlen(deep) + 1);
    memcpy(deep, "<b>", 3);
    strcat(deep, "</b>");
    DX_CHECK_EQ(try_markup(deep), HTIP_EMARKUP);
    DX_CHECK_EQ(try_markup("<a href=\"?a=1&amp;b=javascript:\">\n\t\xe2\x82\xac</a>"), HTIP_OK);
}

DX_TEST(ht_3_names_that_are_refused)
{
    static const char *const names[][2] = {{"onclick", "x"}, {"style", "x"}, {"srcdoc", "x"}, {"Title", "x"}, {"", "x"}, {"a b", "x"},
                                           {"href", "JAVASCRIPT:x"}, {"data-slot", ""}};
    static const char *const styles[][2] = {{"color", ""}, {"color", "red; x: y"}, {"Color", "red"}, {"background", "url(x)"}, {"--", "1"}};
    for (size_t i = 0; i < sizeof names / sizeof *names + sizeof styles / sizeof *styles + 3; i++) {
        htip_writer w = {0};
        size_t k = i - sizeof names / sizeof *names, class = k - sizeof styles / sizeof *styles;
        htip_add_template(&w, 1, card);
        htip_clone(&w, 1, 1, 0);
        if (i < sizeof names / sizeof *names) htip_attribute(&w, 1, names[i][0], names[i][1]);
        else if (k < sizeof styles / sizeof *styles) htip_style(&w, 1, styles[k][0], styles[k][1]);
        else htip_class(&w, 1, class == 0 ? "" : class == 1 ? "a b" : "a\tb", true);
        DX_CHECK_EQ(try_writer(&w), HTIP_ENAME);
    }
}

DX_TEST(ht_6_a_stream_is_carried_out_whole_or_not_at_all)
{
    htip_writer good = {0}, bad = {0};
    htip_page page;
    htip_page_open(&page, NODES);
    htip_add_template(&good, 1, card);
    htip_clone(&good, 1, 1, 0);
    DX_CHECK(htip_finish(&good));
    DX_CHECK_EQ(htip_page_render(&page, good.stream.data, good.stream.size), HTIP_OK);
    htip_add_op(&bad, HTIP_BATCH, 0, 0, 0);
    htip_text_of(&bad, 2, "changed");
    htip_remove(&bad, 1);
    htip_add_op(&bad, HTIP_COMMIT, 0, 0, 0);
    htip_class(&bad, 1, "gone", true);
    DX_CHECK(htip_finish(&bad));
    DX_CHECK_EQ(htip_page_render(&page, bad.stream.data, bad.stream.size), HTIP_ENODE);
    expect_html(&page, "<p class=\"a\"><b data-slot=\"\"></b></p>");
    DX_CHECK_EQ(page.nodes.used, 2);
    htip_writer_free(&good);
    htip_writer_free(&bad);
    htip_page_close(&page);
}

DX_TEST(ht_7_strings_are_shared_by_content)
{
    htip_writer w = {0};
    DX_CHECK_EQ(htip_intern(&w, "one"), 0);
    DX_CHECK_EQ(htip_intern(&w, "on"), 1);
    DX_CHECK_EQ(htip_intern(&w, ""), 2);
    DX_CHECK_EQ(htip_intern(&w, "one"), 0);
    DX_CHECK_EQ(htip_intern(&w, ""), 2);
    htip_writer_free(&w);
}

/* Streams of random operations: the reader's idea of what is there is the page's. */
DX_PROPERTY(ht_3_random_operations, 2000)
{
    htip_page page;
    htip_page_open(&page, NODES);
    for (uint64_t streams = dx_choose(c, 3); streams; streams--) {
        htip_writer w = {0};
        htip_add_template(&w, 1, "<p><b data-slot=\"\"></b><i data-slot=\"\"></i></p>");
        htip_add_template(&w, 2, "<u></u>");
        for (uint64_t ops = dx_choose(c, 12); ops; ops--) {
            uint16_t node = (uint16_t)dx_choose(c, NODES);
            switch (dx_choose(c, 5)) {
            case 0: htip_clone(&w, node, (uint16_t)dx_choose_range(c, 1, 2), (uint16_t)dx_choose(c, 6)); break;
            case 1: htip_text_of(&w, node, "text"); break;
            case 2: htip_remove(&w, node); break;
            case 3: htip_class(&w, node, "on", dx_choose(c, 1)); break;
            case 4: htip_style(&w, node, "color", "red"); break;
            default: htip_attribute(&w, node, "title", "x"); break;
            }
        }
        DX_CHECK(htip_finish(&w));
        htip_page_render(&page, w.stream.data, w.stream.size);
        htip_writer_free(&w);
    }
    uint32_t used = 0;
    for (uint32_t i = 1; i < NODES; i++) used += htip_is_node(&page.nodes, i);
    DX_CHECK_EQ(used, page.nodes.used);
    htip_buffer out = {NULL, 0, 0};
    htip_page_html(&page, &out);
    uint32_t elements = 0;
    for (size_t i = 0; i + 1 < out.size; i++) elements += out.data[i] == '<' && out.data[i + 1] != '/';
    DX_CHECK_EQ(elements, used); /* in these templates every element is a node */
    free(out.data);
    htip_page_close(&page);
}

/* Any bytes, most of them nearly right. */
DX_PROPERTY(ht_8_any_bytes, 5000)
{
    uint8_t bytes[512];
    size_t size = vector(dx_choose(c, 1) ? "more" : "card", bytes);
    for (uint64_t n = dx_choose(c, 6); n; n--) bytes[dx_choose(c, size - 1)] = (uint8_t)dx_choose(c, 255);
    if (dx_choose(c, 1)) size = dx_choose(c, sizeof bytes - 1);
    int error = try_bytes(bytes, size);
    DX_CHECK(error >= HTIP_OK && error <= HTIP_EBATCH);
}
