#define DX_PATCH_IMPLEMENTATION
#include "hook.h"
#include "t.h"
int HOOK;
enum{S_GAP,S_LEN,S_JUMP,S_SETUP,S_EQ,S_ID,S_FLAG,S_FIX0,S_FIX1,S_FIX2,S_FIX3,S_RUN0,S_RUN1,S_RUN2,S_WRONG,S_N};
static const char*names[]={"gap","len","jump","setup","eq","id","flag","fix0","fix1","fix2","fix3","run0","run1","run2","wrong"};
static buf_t ST[S_N];static buf_t J1,J2;static u64 flagrun;static u32 flags_all;
void hook_num(u32 w,u64 v){int k=w==0?S_SETUP:w==1?S_GAP:w==2?S_LEN:w==3?S_JUMP:w<=5?S_EQ:w<=8?S_RUN0:S_FIX0+(int)w-9;bvar(&ST[k],v);if(w>=6&&w<=8){bvar(&J1,v);bvar(&J2,v);}}
void hook_flag(u32 row,u32 v){(void)row;flags_all++;if(v){bvar(&ST[S_FLAG],flagrun);flagrun=0;}else flagrun++;}
void hook_byte(int k,u32 v){bbyte(&ST[k?S_ID:S_WRONG],v);if(!k)bbyte(&J1,v);}
static buf_t CT;void hook_ctx(u32 v,u32 o,u32 b,u32 l,u32 r,u32 id){bbyte(&CT,v);bbyte(&CT,o);bbyte(&CT,b);bbyte(&CT,l);bbyte(&CT,r>255?255:r);bbyte(&CT,id);}
typedef struct{u32 a,b,o;}gap_t;static gap_t*G;static size_t GN;
void hook_gap(u64 a,u64 b,u64 o){G=realloc(G,(GN+1)*sizeof*G);G[GN].a=(u32)a;G[GN].b=(u32)b;G[GN].o=(u32)o;GN++;}
static dx_patch_p_maker M;
static double t_parts[4];
/* ---- decoder */
typedef struct{const u8*p,*e;u8*l,*le;u8*pl[5][4];}rd_t;
static inline u64 rv(rd_t*r){ if(r->p<r->e&&*r->p<128)return *r->p++; return gvar(&r->p,r->e);}
static int num_get(const u8**p,const u8*e,rd_t*r){size_t n;memset(r,0,sizeof*r);if(*p>=e)return -1;u32 f=*(*p)++;r->p=get_stream(p,e,&n,0);if(!r->p)return -1;r->e=r->p+n;if(!f)return 0;r->l=(u8*)r->p;r->le=(u8*)r->e;u32 c[5]={0};for(size_t i=0;i<n;i++){if(r->l[i]<1||r->l[i]>4)return -1;c[r->l[i]]++;}for(u32 k=1;k<=4;k++)for(u32 i=0;i<k&&c[k];i++){r->pl[k][i]=get_stream(p,e,&n,0);if(!r->pl[k][i]||n!=c[k])return -1;}return 0;}
static inline u64 rn(rd_t*r){if(!r->l)return rv(r);if(r->l>=r->le)return 0;u32 k=*r->l++;u64 v=0;for(u32 i=0;i<k;i++)v|=(u64)*r->pl[k][i]++<<8*i;return v;}
static void num_put(buf_t*s,buf_t*o){buf_t a={0,0,0},b={0,0,0};bbyte(&a,0);put_stream(s->p,s->n,&a,0);const u8*p=s->p,*e=p+s->n;buf_t L={0,0,0},pl[5][4];memset(pl,0,sizeof pl);int ok=s->n>64;while(p<e){u64 v=gvar(&p,e);if(v>>32){ok=0;break;}u32 k=v<256?1:v<65536?2:v<1<<24?3:4;bbyte(&L,k);for(u32 i=0;i<k;i++)bbyte(&pl[k][i],v>>8*i&255);}
 if(ok){bbyte(&b,1);put_stream(L.p,L.n,&b,0);for(u32 k=1;k<=4;k++)for(u32 i=0;i<k;i++)if(pl[k][i].n)put_stream(pl[k][i].p,pl[k][i].n,&b,0);if(b.n<a.n)a=b;}bput(o,a.p,a.n);}
#include "fastp.h"
static int decode(const u8*p,const u8*e,u8*out,u64 nt,const u8*base,u64 nb,void*mem,int sub){
  rd_t R[S_N];u8*o[S_N];size_t n;for(int i=0;i<S_N;i++){if(i>=S_FIX0&&i<=S_FIX3){o[i]=0;if(num_get(&p,e,&R[i]))return -1;continue;}o[i]=get_stream(&p,e,&n,0);if(!o[i])return -1;R[i].p=o[i];R[i].e=o[i]+n;} rd_t*W=R[S_WRONG].p==R[S_WRONG].e?&R[S_RUN0]:&R[S_WRONG];
  tread_t tr;memset(&tr,0,sizeof tr);tr.sub=(u32)sub;if(t_get(&tr,&p,e,0))return -1;
  static dx_patch_p_delta d;memset(&d,0,sizeof d);d.map_=true;dx_patch_p_predictor*x=&d.predictor_;x->count_=(u32)rv(&R[S_SETUP]);x->region_bits_=nt>>10<1024?8:12;static u32 memory[1024];memset(memory,0,sizeof memory);x->memory_=memory;memset(ex_tag,0,sizeof ex_tag);
  for(int s=0;s<2;s++){u64 words=2;for(u64 i=0;i<words;i++){x->setup_[s][i]=(s?x->setup_[0][i]:0)+dx_patch_p_unzigzag(rv(&R[S_SETUP]));if(!i){if(x->setup_[s][0]>8)return -2;words=2+4*x->setup_[s][0];}}}
  x->matches_=mem;u64 ne=0,oe=0;for(u32 i=0;i<x->count_;i++){u64 g=rv(&R[S_GAP]),l=rv(&R[S_LEN])+1,j=rv(&R[S_JUMP]);u64 oa=oe+g+dx_patch_p_unzigzag(j);ne+=g;if(oa>nb||l>nb-oa||ne>nt||l>nt-ne)return -3;x->matches_[3*i]=(u32)ne;x->matches_[3*i+1]=(u32)oa;x->matches_[3*i+2]=(u32)l;ne+=l;oe=oa+l;}
  dx_patch_p_sort_matches(x); map_index(x,nb);
  st_t st;memset(&st,0,sizeof st);u64 at=0;u64 fr=R[S_FLAG].p<R[S_FLAG].e?rv(&R[S_FLAG]):~0ull;u32 last_run=0;
  for(u32 i=0;i<=x->count_;i++){u64 na=i<x->count_?x->matches_[3*i]:nt; if(na>at){int k=t_run(&tr,out,at,na,base,nb,&st,1);if(k)return k-100;} if(i==x->count_)break;
    u64 oa=x->matches_[3*i+1],sz=x->matches_[3*i+2],done=0; st_step(&st,(u32)na,oa,0,(u32)sz);
    do{u64 eq=rv(&R[S_EQ]);u64 m=eq*1024;if(m>sz-done)m=sz-done;memcpy(out+na+done,base+oa+done,m);done+=m;if(done==sz)break;
      u32 id=R[S_ID].p<R[S_ID].e?*R[S_ID].p++:0;if(id>12)return -4;d.id_=id;dx_patch_p_block b;memset(&b,0,sizeof b);b.old_bytes=base+oa+done;b.old_at=oa+done;b.new_at=na+done;dx_patch_p_start_block(&d,&b,sz-done);u8*to=out+na+done;memcpy(to,b.old_bytes,b.limit);
      fields(&d,&b,to,R,&fr);
      u32 q=0;while(q<b.size){u64 r=rv(&R[S_RUN0]);if(!r){last_run=8;break;}last_run=r>1024?1024:(u32)r-1;if(r>b.size-q)return -5;q+=(u32)r;if(W->p>=W->e)return -6;to[q-1]=(u8)(to[q-1]+*W->p++);}
      done+=b.size;}while(done<sz);
    at=na+sz;}
  for(int i=0;i<S_N;i++){if(i>=S_FIX0&&i<=S_FIX3){for(int k=0;k<20;k++)free(0);}free(o[i]);}return 0;}
int main(int c,char**v){size_t a,b;u8*bb=load(v[1],&a),*tt=load(v[2],&b);B=bb;T=tt;NB=a;NT=b;int level=c>3?atoi(v[3]):6;int verbose=c-4;
  double t0=now_s();dx_patch_create_desc ds;memset(&ds,0,sizeof ds);ds.level=(u32)level;ds.memory_size=dx_patch_create_memory_size(&ds,a,b);ds.memory=malloc(ds.memory_size);ds.apply_memory_max=256<<20;
  dx_patch_p_job j;memset(&j,0,sizeof j);j.desc=&ds;j.base=bb;j.target=tt;j.base_size=a;j.target_size=b;j.capacity=b+b/8+4096;j.out=malloc(j.capacity);HOOK=1;int e=dx_patch_p_make_delta(&j);HOOK=0;double t1=now_s();
  dx_patch_p_maker*mk=0;(void)mk; if(e){printf("make %d\n",e);return 1;} if(!ST[S_SETUP].n){printf("no map\n");return 1;}
  buf_t o={0,0,0};size_t tot=0;{buf_t x={0,0,0},y={0,0,0};put_stream(J1.p,J1.n,&x,0);put_stream(ST[S_RUN0].p,ST[S_RUN0].n,&y,0);put_stream(ST[S_WRONG].p,ST[S_WRONG].n,&y,0);if(x.n<y.n){ST[S_RUN0]=J1;ST[S_WRONG].n=0;}} for(int i=0;i<S_N;i++){size_t was=o.n;if(i>=S_FIX0&&i<=S_FIX3)num_put(&ST[i],&o);else put_stream(ST[i].p,ST[i].n,&o,0);if(verbose)printf(" %s %zu->%zu",names[i],ST[i].n,o.n-was);} size_t ps=o.n;double t2=now_s();
  u64 gaps=0;for(size_t i=0;i<GN;i++)gaps+=G[i].b-G[i].a;
  sorted_make(&S32,B,NB,32,1);sorted_make(&S8,B,NB,8,1);chain_head=calloc(1u<<CBITS,4);chain_prev=calloc(NT+8,4);prices_init();seqs_t q={0,0,0};size_t*gi=malloc((GN+1)*sizeof*gi);double t3=now_s();
  buf_t best={0,0,0};int sub=0; for(int pass=0;pass<2;pass++){q.n=0;memset(chain_head,0,4u<<CBITS);st_t st;memset(&st,0,sizeof st);for(size_t i=0;i<GN;i++){gi[i]=q.n; parse(&q,G[i].a,G[i].b,&st); if(i+1<GN){u32 oa=G[i+1].o-(G[i+1].a-G[i].b);u32 sz=G[i+1].a-G[i].b;if(sz)st_step(&st,G[i].b,oa,0,sz);}} gi[GN]=q.n;
    for(int s=0;s<3;s++){ if(s&&pass==0)break; clear_stats();memset(&st,0,sizeof st);tstreams_t ts;t_emit_init(&ts);ts.sub=(u32)s;for(size_t i=0;i<GN;i++){t_emit(&ts,q.s+gi[i],gi[i+1]-gi[i],&st,1);if(i+1<GN){u32 sz=G[i+1].a-G[i].b;u32 oa=G[i+1].o-sz;if(sz)st_step(&st,G[i].b,oa,0,sz);}}
     if(pass==1){if(verbose&&!s)printf(" | T ll %zu la %zu lb %zu ex %zu",ts.ll.n,ts.la.n,ts.lb.n,ts.ex.n);buf_t x={0,0,0};t_put(&ts,&x,0);if(!best.p||x.n<best.n){best=x;sub=s;}}} prices_from();}
  if(getenv("DUMP")){char nm[300];for(int i=0;i<S_N;i++){sprintf(nm,"%s.%s",getenv("DUMP"),names[i]);FILE*f=fopen(nm,"wb");fwrite(ST[i].p,1,ST[i].n,f);fclose(f);} sprintf(nm,"%s.ctx",getenv("DUMP"));{FILE*f=fopen(nm,"wb");fwrite(CT.p,1,CT.n,f);fclose(f);}sprintf(nm,"%s.lit",getenv("DUMP"));FILE*f=fopen(nm,"wb");for(size_t i=0;i<q.n;i++){seq_t*x=&q.s[i];u32 end=x->at;for(u32 k=x->at-x->ll;k<end;k++){putc(T[k],f);putc(k?T[k-1]:0,f);putc((int)(k&3),f);putc(k>1?T[k-2]:0,f);}}fclose(f);} bput(&o,best.p,best.n);if(verbose)printf(" gaps %llu T->%zu\n",(unsigned long long)gaps,best.n); double t4=now_s();
  u8*out=malloc(NT+2048);memset(out,0,NT);void*mem=malloc(64<<20);double bt=1e9;for(int i=0;i<(verbose>1?200:7);i++){double x=now_s();e=decode(o.p,o.p+o.n,out,NT,B,NB,mem,sub);x=now_s()-x;if(x<bt)bt=x;}
  (void)tot;printf("P L%d %zu (P %zu + T %zu) find+count %.2f code %.2f index %.2f T %.2f | apply %.4f %.3f GB/s %s e=%d\n",level,o.n,ps,best.n,t1-t0,t2-t1,t3-t2,t4-t3,bt,(double)NT/bt/1e9,memcmp(out,T,NT)?"WRONG":"ok",e);return 0;}
