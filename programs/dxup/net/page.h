/* The page of `dxup serve --status`: pieces of HTML in UTF-8, NULL-terminated. */
#ifndef DXUP_PAGE_H
#define DXUP_PAGE_H

extern const char *const dxup_page[];

#endif
