/* The file that is received. A partial file is renamed once it is complete:

       DIR/NAME                 untouched until then
       DIR/.NAME.dxwan-part     the bytes that have arrived
       DIR/.NAME.dxwan-note     the chunks of them that are durable: a stored state of dx_bulk.h
       DIR/.NAME.dxwan-tree     a directory that is made from the partial file, which is its image, and
                                then renamed instead of it; afterwards the one that it replaced

   Bytes are made durable before the note that names them, by a thread of its own, because a disk may
   take seconds. */
#ifndef WAN_TARGET_H
#define WAN_TARGET_H

#include "../../common/common.h"

#include "../../../layers/dx_bulk.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct wan_work { /* on a thread, as it may take longer than a sender waits */
    pthread_t   thread;
    bool        running;
    atomic_bool done;
    int         error;
} wan_work;

typedef struct wan_target {
    char            path[PROG_PATH_SIZE_MAX + 1]; /* the destination */
    char            part[PROG_PATH_SIZE_MAX + 1];
    char            note[PROG_PATH_SIZE_MAX + 1];
    char            tree[PROG_PATH_SIZE_MAX + 1]; /* empty: a file is received */
    int             file;    /* the partial file, open and locked; -1: none */
    bool            replace; /* a file or directory at path is replaced */
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            started; /* the thread */
    bool            ending;
    bool            busy;    /* with what follows */
    uint8_t        *bytes;   /* of the note */
    size_t          size;
    size_t          room;
    int             error;   /* errno of the thread; 0: none */
    wan_work        cleaning;
    wan_work        syncing;
} wan_target;

/* Can this be a destination: a directory, or a file in one? If not, a status with a message, which begins
   with `what`. NULL: the current directory. */
int  wan_target_check(const char *what, const char *out);
/* Open or create the partial file for a destination: `out`, or `name` in it if it is a directory,
   where an existing one is replaced only by force. tree: a directory. Returns a status with a message,
   and in *why the same for the sender: another receiver holds it, it exists, no permission. */
int  wan_target_open(wan_target *t, const char *out, const char *name, bool tree, bool force,
                     const char **why);
/* Open the file or, of a directory's mirror, the directory that will be replaced, to read it. -1: there is none. */
int  wan_target_open_old(const wan_target *t);
/* Open a file with this name in the directory of the destination. -1: there is none; a link is not followed. */
int  wan_target_open_beside(const wan_target *t, const char *name);
/* Load the note into a fresh receiver. False: it is missing or damaged: then the partial file
   is empty. */
bool wan_target_resume(wan_target *t, dx_bulk *bulk);
/* The file has this size from now on, and enough room on the disk. False: *why. */
bool wan_target_size(wan_target *t, uint64_t size, const char **why);
/* Start to make the state durable, unless that is under way. */
void wan_target_save(wan_target *t, const dx_bulk *bulk);
/* Wait for the thread, and make the state durable. */
int  wan_target_save_now(wan_target *t, const dx_bulk *bulk);
/* Remove t->tree, left by a killed receiver, on a thread. 1: it is under way, call again; 0: done;
   negative: a status with a message, negated. */
int  wan_target_clean(wan_target *t);
/* Make the file or t->tree durable, on a thread; the file gets its mode. 1: it is under way, call again; 0: done; -1: errno. */
int  wan_target_sync(wan_target *t);
/* The file was written to again: the next wan_target_sync() is another one. */
void wan_target_unsync(wan_target *t);
/* The file is whole, verified and durable: rename it. Of a directory, t->tree. */
int  wan_target_place(wan_target *t);
/* Close it. keep: the partial file and its note stay, to be resumed. */
void wan_target_close(wan_target *t, bool keep);

#endif
