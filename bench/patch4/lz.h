/* prototype: LZ of the target over base||target, price-based parse. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <math.h>
#include <time.h>
typedef uint8_t u8; typedef uint32_t u32; typedef uint64_t u64; typedef int64_t i64;
static u8 *load(const char *p, size_t *n){FILE*f=fopen(p,"rb");if(!f){perror(p);exit(1);}fseek(f,0,SEEK_END);*n=(size_t)ftell(f);rewind(f);u8*b=malloc(*n+64);if(fread(b,1,*n,f)!=*n)exit(1);memset(b+*n,0,64);fclose(f);return b;}
static double now_s(void){struct timespec t;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);return (double)t.tv_sec+1e-9*(double)t.tv_nsec;}
static inline u64 ld64(const u8*p){u64 v;memcpy(&v,p,8);return v;}
static inline u32 ld32(const u8*p){u32 v;memcpy(&v,p,4);return v;}
static inline u64 mixh(u64 h){h*=0x9e3779b97f4a7c15u;h^=h>>29;h*=0xbf58476d1ce4e5b9u;return h^h>>32;}
static inline size_t same(const u8*a,const u8*b,size_t n){size_t i=0;for(;i+8<=n;i+=8){u64 x=ld64(a+i)^ld64(b+i);if(x)return i+(size_t)(__builtin_ctzll(x)>>3);}while(i<n&&a[i]==b[i])i++;return i;}
static inline u64 h32(const u8*p){return mixh(ld64(p)+mixh(ld64(p+8)+mixh(ld64(p+16)+mixh(ld64(p+24)))));}
static inline u64 hn(const u8*p,int n){return mixh(n>=8?ld64(p):ld64(p)<<(64-8*n));}
/* bucket sorted positions */
typedef struct { u32 *start,*pos; int bits; int len; } sorted_t;
static u64 hash_len(const u8*p,int len){return len==32?h32(p):len==16?mixh(ld64(p)+mixh(ld64(p+8))):hn(p,len);}
static void sorted_make(sorted_t*s,const u8*b,size_t n,int len,size_t stride){
  size_t cnt=n>=(size_t)len?(n-(size_t)len)/stride+1:0; int bits=10; while(((size_t)1<<bits)<cnt&&bits<24)bits++;
  s->bits=bits;s->len=len;s->start=calloc(((size_t)1<<bits)+2,4);s->pos=malloc(4*cnt+4);
  u32*hh=malloc(4*cnt+4);
  for(size_t i=0;i<cnt;i++){hh[i]=(u32)(hash_len(b+i*stride,len)>>(64-bits));s->start[hh[i]+2]++;}
  for(size_t i=2;i<((size_t)1<<bits)+2;i++)s->start[i]+=s->start[i-1];
  for(size_t i=0;i<cnt;i++)s->pos[s->start[hh[i]+1]++]=(u32)(i*stride);
  free(hh);
}
/* number classes: v -> code, extra bits (nbits) ; codes 0..15 direct, then 2 per octave (like zstd-ish w/1 mantissa bit) */
static inline u32 numcode(u64 v,u32*nb){ if(v<16){*nb=0;return (u32)v;} u32 l=63-(u32)__builtin_clzll(v); *nb=l-1; return 16+(l-4)*2+(u32)(v>>(l-1)&1);} 
enum{NCODE=128};
/* offset kinds: 0 same diag, 1 continue, 2 rep1, 3 rep2, 4.. near/far jump: sign, class ; self */
enum{OF_SAME,OF_CONT,OF_REP1,OF_REP2,OF_JUMP=4 /* +2*log +sign, up to 4+66 */,OF_SREP=70,OF_SELF=72 /* + class log */,OF_N=112};
typedef struct{u32 ll,ml;u64 src;u8 self;u32 at;} seq_t;
typedef struct{seq_t*s;size_t n,cap;} seqs_t;
static void seq_push(seqs_t*q,seq_t s){if(q->n==q->cap){q->cap=q->cap?q->cap*2:1024;q->s=realloc(q->s,q->cap*sizeof*q->s);}q->s[q->n++]=s;}
typedef struct{i64 r[3];u64 oend;u32 nend,sd;} st_t; /* r: src-pos diagonals; */
static inline u32 off_code(const st_t*t,u32 pos,u64 src,int self,u32*nb){
  if(self){u32 l;u64 d=pos-src; if(d==t->sd){*nb=0;return OF_SREP;} l=63-(u32)__builtin_clzll(d); *nb=l; return OF_SELF+l;}
  i64 d=(i64)src-(i64)pos;
  *nb=0;
  if(d==t->r[0])return OF_SAME; if(src==t->oend)return OF_CONT; if(d==t->r[1])return OF_REP1; if(d==t->r[2])return OF_REP2;
  i64 j=(i64)src-(i64)t->oend; u64 a=(u64)(j<0?-j:j); u32 l=63-(u32)__builtin_clzll(a); *nb=l; return OF_JUMP+2*l+(j<0);
}
static inline void st_step(st_t*t,u32 pos,u64 src,int self,u32 len){
  if(self){t->sd=(u32)(pos-src);return;} /* nend unchanged: same diag still there */
  i64 d=(i64)src-(i64)pos; if(d!=t->r[0]){ if(d==t->r[1]){t->r[1]=t->r[0];t->r[0]=d;} else {t->r[2]=t->r[1];t->r[1]=t->r[0];t->r[0]=d;} }
  t->oend=src+len; t->nend=pos+len;
}
typedef uint16_t u16;
typedef struct{float lit[256],ll[NCODE],ml[NCODE],of[OF_N];} price_t;
