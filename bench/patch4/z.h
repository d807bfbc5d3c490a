/* prototype stream codec: raw | run | rANS (static table, 1 or 4 states) | LZ over those */
#include "lz.h"
typedef struct{u8*p;size_t n,cap;}buf_t;
static void bput(buf_t*b,const void*p,size_t n){if(b->n+n+64>b->cap){b->cap=(b->n+n)*2+256;b->p=realloc(b->p,b->cap);}memcpy(b->p+b->n,p,n);b->n+=n;}
static void bbyte(buf_t*b,u32 v){u8 x=(u8)v;bput(b,&x,1);}
static void bvar(buf_t*b,u64 v){while(v>127){bbyte(b,(u32)(v&127)|128);v>>=7;}bbyte(b,(u32)v);}
static u64 gvar(const u8**p,const u8*e){u64 v=0;u32 s=0;while(*p<e&&s<64){u8 c=*(*p)++;v|=(u64)(c&127)<<s;if(!(c&128))return v;s+=7;}return v;}
/* bit writer/reader, LSB first */
typedef struct{buf_t*b;u64 acc;u32 n;}bw_t;
static void wbits(bw_t*w,u64 v,u32 n){while(n){u32 k=n>24?24:n;w->acc|=(v&((1u<<k)-1))<<w->n;w->n+=k;v>>=k;n-=k;while(w->n>=8){bbyte(w->b,(u32)w->acc&255);w->acc>>=8;w->n-=8;}}}
static void wflush(bw_t*w){if(w->n)bbyte(w->b,(u32)w->acc&255);w->acc=0;w->n=0;}
typedef struct{const u8*p,*e;u64 acc;u32 n;}br_t;
static inline void rfill(br_t*r){ if(r->e-r->p>=8){r->acc|=ld64(r->p)<<r->n; r->p+=(63-r->n)>>3; r->n|=56;} else while(r->n<=56&&r->p<r->e){r->acc|=(u64)*r->p++<<r->n;r->n+=8;} }
static inline u64 rbits(br_t*r,u32 k){ /* k<=56 */ if(r->n<k)rfill(r); u64 v=k?r->acc&((~0ull)>>(64-k)):0; r->acc>>=k; r->n=r->n>k?r->n-k:0; return v;}
/* ---- rANS */
enum{RL=1u<<16};
static void normalize(const u32*c,size_t n,u32 k,u16 *f,int*top){ u32 tot=1u<<k,sum=0;int t=0;for(int i=0;i<256;i++)if(c[i]>c[t])t=i; for(int i=0;i<256;i++){f[i]=0;if(!c[i]||i==t)continue; double x=(double)c[i]*tot/(double)n; u32 v=(u32)(x+.5); if(!v)v=1; if(v>=16){u32 l=31-(u32)__builtin_clz(v);u32 sh=l-3;v=(v+(1u<<sh>>1))>>sh<<sh;} f[i]=(u16)v;sum+=v;} 
  while(sum>=tot){ /* shrink largest others */ int b=-1;for(int i=0;i<256;i++)if(i!=t&&f[i]>1&&(b<0||f[i]>f[b]))b=i; u32 v=f[b]; u32 l=31-(u32)__builtin_clz(v); u32 d=l>3?1u<<(l-3):1; f[b]=(u16)(v-d);sum-=d;} f[t]=(u16)(tot-sum);*top=t; }
/* table: top symbol byte, k nibble; then for symbols in order: class 0 absent .. */
static void put_table(bw_t*w,const u16*f,int top,u32 k){ wbits(w,(u32)top,8);wbits(w,k-5,3); int last=255;while(last>=0&&(last==top||!f[last]))last--; /* last coded symbol */
  wbits(w,(u32)(last+1),9); u32 prev=1; for(int i=0;i<=last;){ if(i==top){i++;continue;} u32 c=f[i]?32-(u32)__builtin_clz(f[i]):0; /* class */
    if(!c){int run=0;int j=i;while(j<=last&&(j==top||!f[j])){run++;j++;} /* zero marker: then run-1 in chunks */
      /* delta coding of classes: symbol 0 = zero run */ wbits(w,3,2); u32 v=(u32)run; u32 l=31-(u32)__builtin_clz(v); for(u32 q=0;q<l;q++)wbits(w,1,1); if(l<8)wbits(w,0,1); wbits(w,v-(1u<<l),l); i=j; continue;}
    /* 00 same class, 01 + sign... : 0 -> same(1 bit '0'), 10 -> +-1 then more, 11 -> zero run ; written LSB first */
    if(c==prev)wbits(w,0,1); else {wbits(w,1,2); int d=(int)c-(int)prev; wbits(w,d<0,1); u32 a=(u32)(d<0?-d:d); for(u32 q=1;q<a;q++)wbits(w,1,1); wbits(w,0,1);} 
    if(c>1){u32 m=c-1>3?3:c-1; wbits(w,(f[i]-(1u<<(c-1)))>>(c-1-m),m);} prev=c; i++; } }
static int get_table(br_t*r,u16*f,u32*kk){ memset(f,0,512); u32 top=(u32)rbits(r,8),k=(u32)rbits(r,3)+5;int last=(int)rbits(r,9)-1; u32 prev=1,sum=0; if(last>255)return -1; for(int i=0;i<=last;){ if(i==(int)top){i++;continue;} if(!rbits(r,1)){} else if(rbits(r,1)){u32 l=0;while(l<8&&rbits(r,1))l++; i+=(int)((1u<<l)+rbits(r,l));continue;} else {u32 s=(u32)rbits(r,1),a=1;while(a<16&&rbits(r,1))a++; prev=s?prev-a:prev+a; if(prev-1>11)return -1;} 
   u32 m=prev-1>3?3:prev-1; u32 v=(1u<<(prev-1))+((u32)rbits(r,m)<<(prev-1-m)); f[i]=(u16)v;sum+=v;i++;} if(sum>=1u<<k)return -1; f[top]=(u16)((1u<<k)-sum);*kk=k;return 0; }
static void put_table(bw_t*,const u16*,int,u32);
static size_t rans_block(const u8*b,size_t n,u32 k,buf_t*o){ u32 c[256]={0};u16 f[256];u32 st[257];int top; for(size_t i=0;i<n;i++)c[b[i]]++; u32 used=0;for(int i=0;i<256;i++)used+=c[i]>0; if(used>1u<<(k-1))return 0; normalize(c,n,k,f,&top); st[0]=0;for(int i=0;i<256;i++)st[i+1]=st[i]+f[i];
  bw_t w={o,0,0}; put_table(&w,f,top,k); wflush(&w); u32 ns=n<512?1:4; static u8 tmp[1<<22]; u8*e=tmp+sizeof tmp,*p=e; u32 x[4]={RL,RL,RL,RL}; if(n>(1u<<20))exit(9);
  for(size_t i=n;i-->0;){u32 s=b[i],q=i&(ns-1); u32 X=x[q]; if((u64)X>=((u64)f[s]<<(32-k))){p-=2;p[0]=(u8)X;p[1]=(u8)(X>>8);X>>=16;} x[q]=((X/f[s])<<k)+X%f[s]+st[s];}
  size_t m=(size_t)(e-p); bvar(o,m+4*ns); for(u32 q=0;q<ns;q++)bput(o,&x[q],4); bput(o,p,m); return 1; }
typedef struct{u32 e[4096];}rtab_t;
static double t_rans;
static int rans_get(const u8**pp,const u8*pe,u8*out,size_t n){ static rtab_t T4; u16 f[256];u32 k; br_t r={*pp,pe,0,0}; /* careful reader: fill bytewise */ 
  if(get_table(&r,f,&k))return -1; *pp=r.p-(r.n>>3)+0; /* unread whole bytes */ 
  {u32 s0=0;for(u32 s=0;s<256;s++){for(u32 j=0;j<f[s];j++)T4.e[s0+j]=s|(u32)(f[s]-1)<<8|j<<20;s0+=f[s];}}
  u64 sz=gvar(pp,pe); if(sz>(u64)(pe-*pp))return -1; const u8*p=*pp,*e=p+sz; *pp=e; u32 ns=n<512?1:4; if(sz<4*ns)return -1; u32 x[4]; for(u32 q=0;q<ns;q++){x[q]=ld32(p);p+=4;} u32 mask=(1u<<k)-1; size_t i=0;
#define STEP(X,o) {u32 t=T4.e[X&mask]; o=(u8)t; X=((t>>8&4095)+1)*(X>>k)+(t>>20); }
#define REN(X) if(X<RL){ X=X<<16|(p[0]|(u32)p[1]<<8); p+=2;}
  if(ns==4){u32 a=x[0],b=x[1],c=x[2],d=x[3]; while(i+4<=n&&e-p>=8){STEP(a,out[i])STEP(b,out[i+1])STEP(c,out[i+2])STEP(d,out[i+3])REN(a)REN(b)REN(c)REN(d)i+=4;} x[0]=a;x[1]=b;x[2]=c;x[3]=d;}
  for(;i<n;i++){u32 X=x[i&(ns-1)];STEP(X,out[i]) if(X<RL){if(e-p<2){return -1;}REN(X)} x[i&(ns-1)]=X;} return 0; }
/* rANS of a stream in blocks; best block size by trial */
static void put_rans(const u8*b,size_t n,buf_t*o){ size_t best=~0ul;u32 bk=0,bb=0; buf_t t={0,0,0}; u32 lo=n<=(1u<<15)?31:13; for(u32 lb=lo==31?17:13;lb<=17;lb+=1){ for(u32 k=8;k<=12;k+=(n<4096?1:2)){t.n=0;int ok=1;for(size_t a=0;a<n&&ok;a+=(size_t)1<<lb)ok=(int)rans_block(b+a,n-a<((size_t)1<<lb)?n-a:(size_t)1<<lb,k,&t); if(ok&&t.n<best){best=t.n;bk=k;bb=lb;}} }
  if(best==~0ul){bk=12;bb=17;} t.n=0;for(size_t a=0;a<n;a+=(size_t)1<<bb)rans_block(b+a,n-a<((size_t)1<<bb)?n-a:(size_t)1<<bb,bk,&t); bbyte(o,bb); bput(o,t.p,t.n); free(t.p);}
static void put_plain(const u8*b,size_t n,buf_t*o){ /* 0 raw 1 run 2 rans; type and size */ size_t i=1;while(i<n&&b[i]==b[0])i++; if(n&&i==n&&n>1){bvar(o,n*4+1);bbyte(o,b[0]);return;} if(n<16){bvar(o,n*4);bput(o,b,n);return;} buf_t t={0,0,0};put_rans(b,n,&t); if(t.n<n-n/64){bvar(o,n*4+2);bput(o,t.p,t.n);}else{bvar(o,n*4);bput(o,b,n);} free(t.p);}
static int get_plain_body(u32 type,u64 n,const u8**p,const u8*e,u8*out){ if(type==0){if((u64)(e-*p)<n)return -1;memcpy(out,*p,n);*p+=n;return 0;} if(type==1){if(*p>=e)return -1;memset(out,*(*p)++,n);return 0;} if(type!=2||*p>=e)return -1; u32 lb=*(*p)++; if(lb>20)return -1; for(u64 a=0;a<n;a+=1ull<<lb)if(rans_get(p,e,out+a,n-a<(1ull<<lb)?n-a:1ull<<lb))return -1; return 0;}
