/* prototype T coder: target gaps over base||target past, price-based parse; encode and decode */
#include "z.h"
static const u8*B,*T;static size_t NB,NT;
static sorted_t S32,S8;static int depth=16,CH=16; static u32 *chain_head,*chain_prev;
enum{WIN=4096,NICE=96};
static price_t P; static u64 st_lit[256],st_ll[NCODE],st_ml[NCODE],st_of[OF_N];
static double logp(u64 c,u64 t){return -log2((double)(c)/(double)t);}
static void prices_init(void){for(int i=0;i<256;i++)P.lit[i]=6.f;for(int i=0;i<NCODE;i++){P.ll[i]=(float)(i<16?2+0.3*i:6);P.ml[i]=5;}for(int i=0;i<OF_N;i++)P.of[i]=i<4?(float)(1+1.5*i):5.f;}
static void prices_from(void){u64 t;
#define MK(A,S,N) t=0;for(int i=0;i<N;i++)t+=S[i]*8+1;for(int i=0;i<N;i++)A[i]=(float)logp(S[i]*8+1,t);
MK(P.lit,st_lit,256) MK(P.ll,st_ll,NCODE) MK(P.ml,st_ml,NCODE) MK(P.of,st_of,OF_N)}
typedef struct{u32 src,len;u8 self;} cand_t;
static int find_in(const sorted_t*s,u32 p,u64 expect,size_t maxl,cand_t*c,int n,int dep,u32 minl){
  u64 h=hash_len(T+p,s->len);u32 b=(u32)(h>>(64-s->bits));u32 lo=s->start[b],hi=s->start[b+1]; if(lo==hi)return n;
  u32 a=lo,z=hi; while(a<z){u32 m=(a+z)/2; if(s->pos[m]<expect)a=m+1;else z=m;} u32 l=a,r=a,best=minl;
  while(dep-->0&&(l>lo||r<hi)){ u32 q; if(l>lo&&(r>=hi||expect-s->pos[l-1]<=s->pos[r]-expect))q=s->pos[--l];else q=s->pos[r++];
    size_t mx=NB-q<maxl?NB-q:maxl; size_t k=same(T+p,B+q,mx); if(k>best){best=(u32)k;c[n].src=q;c[n].len=(u32)k;c[n].self=0;n++; if(k>=1024)break;} }
  return n; }
static u32 CBITS=18;
static void insert_self(u32 p){ if(p+4>NT)return; u32 h=(u32)(hn(T+p,4)>>(64-CBITS)); chain_prev[p]=chain_head[h]; chain_head[h]=p+1; }
static int find_self(u32 p,size_t maxl,cand_t*c,int n){ if(p+4>NT)return n; u32 h=(u32)(hn(T+p,4)>>(64-CBITS)); u32 q=chain_head[h]; int d=CH; u32 best=2;
  while(q&&d-->0){u32 s=q-1; if(best<maxl&&T[s+best]!=T[p+best]){q=chain_prev[s];continue;} size_t k=same(T+p,T+s,maxl); if(k>best&&(k>=5||(k==4&&p-s<65536)||p-s<2048)){best=(u32)k;c[n].src=s;c[n].len=(u32)k;c[n].self=1;n++;} q=chain_prev[s];} return n; }
typedef struct{float price;u32 prev,len,ll;u64 src;u8 self;st_t st;} node_t;
static node_t N[WIN+1100];
static inline float p_num(const float*t,u64 v){u32 nb;u32 c=numcode(v,&nb);return t[c]+(float)nb;}
static void relax(u32 base,u32 k,u32 src,u32 len,int self,u32 minl,u32*end){
  node_t*a=&N[k];u32 p=base+k,nb;u32 oc=off_code(&a->st,p,src,self,&nb);float f=a->price+P.of[oc]+(float)nb+p_num(P.ll,a->ll); u32 L=len;if(L>WIN+1000-k)L=WIN+1000-k;
  for(u32 l=L;l>=minl;l--){float g=f+p_num(P.ml,l-1);u32 e=k+l;while(*end<e){N[++*end].price=1e30f;} if(g<N[e].price){node_t*x=&N[e];x->price=g;x->prev=k;x->len=l;x->src=src;x->self=(u8)self;x->ll=0;x->st=a->st;st_step(&x->st,p,src,self,l);} if(L>64&&l<L&&l>32)l-=l>128?15:7;} }
/* parse gap [from,to) */
static void parse(seqs_t*out,u32 from,u32 to,st_t*S){ u32 p=from;st_t st=*S;u32 ll=0,miss=0;size_t first=out->n;
  while(p<to){ size_t left=to-p; i64 s0=(i64)p+st.r[0];
    if(s0>=0&&s0<(i64)NB){size_t mx=NB-(size_t)s0<left?NB-(size_t)s0:left;size_t k=same(T+p,B+s0,mx);if(k>=NICE||k==left){seq_t s={ll,(u32)k,(u64)s0,0,p};seq_push(out,s);st_step(&st,p,(u64)s0,0,(u32)k);p+=(u32)k;ll=0;continue;}}
    u32 end=0,k,stop=0;N[0].price=0;N[0].st=st;N[0].ll=ll;N[0].len=0;N[0].prev=0;cand_t C[256];
    for(k=0;;k++){ if(k>end)break; if(k>=WIN||p+k>=to){stop=k;break;} if(k==end&&k>0&&N[k].len>=NICE){stop=k;break;}
      node_t*a=&N[k];u32 pos=p+k;size_t lf=to-pos; while(end<k+1)N[++end].price=1e30f;
      {float g=a->price+P.lit[T[pos]];if(g<N[k+1].price){node_t*x=&N[k+1];*x=*a;x->price=g;x->prev=k;x->len=0;x->ll=a->ll+1;}}
      u32 nice=0;i64 cs[4]={(i64)pos+a->st.r[0],(i64)a->st.oend,(i64)pos+a->st.r[1],(i64)pos+a->st.r[2]};
      for(int i=0;i<4;i++){if(cs[i]<0||cs[i]>=(i64)NB||T[pos]!=B[cs[i]])continue;size_t mx=NB-(size_t)cs[i]<lf?NB-(size_t)cs[i]:lf;u32 l=(u32)same(T+pos,B+cs[i],mx);if(l<(i<1?1u:2u))continue;relax(p,k,(u32)cs[i],l,0,i<1?1:2,&end);if(l>=NICE){nice=l;break;}}
      if(!nice&&a->st.sd&&a->st.sd<=pos){u32 s=pos-a->st.sd;if(T[s]==T[pos]){u32 l=(u32)same(T+pos,T+s,lf);relax(p,k,s,l,1,1,&end);if(l>=NICE)nice=l;}}
      if(!nice&&(miss<512||!(pos&(miss<2048?1:miss<16384?3:7)))){int n=0;u64 ex=(u64)(cs[0]<0?0:cs[0]);
        if(NB&&lf>=32)n=find_in(&S32,pos,ex,lf,C,n,8,31);
        if(NB&&lf>=8&&(n==0||C[n-1].len<64))n=find_in(&S8,pos,ex,lf,C,n,depth,n?7:(u32)(S8.len-1));
        int nb=n; n=find_self(pos,lf,C,n); miss=n?0:miss+1;
        for(int i=0;i<n;i++){relax(p,k,C[i].src,C[i].len,C[i].self,C[i].self?3:4,&end);if(C[i].len>=NICE&&C[i].len>nice)nice=C[i].len;} (void)nb;}
      insert_self(pos);
      if(nice>=NICE){u32 e=k+(nice>WIN+1000-k?WIN+1000-k:nice);if(e>end)e=end;stop=e;break;} }
    if(!stop)stop=k;
    static u32 path[WIN+1100];u32 np=0;for(u32 x=stop;x;x=N[x].prev)path[np++]=x;
    for(u32 i=np;i-->0;){node_t*x=&N[path[i]];u32 at=p+x->prev;if(x->len){seq_t s={ll,x->len,x->src,x->self,at};st_step(&st,at,x->src,x->self,x->len);ll=0;
        if(out->n>first&&!s.ll){seq_t*l=&out->s[out->n-1];if(l->ml&&l->self==s.self&&l->src+l->ml==s.src&&l->at+l->ml==s.at){l->ml+=s.ml;continue;}} seq_push(out,s);} else ll++;}
    p+=stop; }
  if(ll||0){seq_t s={ll,0,0,0,to};seq_push(out,s);} *S=st; }
typedef struct{buf_t ll,ml,of,la,lb,lc,lo;buf_t ex;bw_t w;u32 sub;}tstreams_t;
static void t_emit_init(tstreams_t*s){memset(s,0,sizeof*s);s->w.b=&s->ex;}
static void t_emit(tstreams_t*s,seq_t*q,size_t n,st_t*st,int isbase){ /* one gap */
  for(size_t i=0;i<n;i++){u32 nb;seq_t*x=&q[i];u32 c=numcode(x->ll,&nb);bbyte(&s->ll,c);wbits(&s->w,x->ll,nb);st_ll[c]++; int same0=0;
    if(x->ml){ u32 oc=off_code(st,x->at,x->src,x->self,&nb);same0=oc==OF_SAME&&x->ll<=8&&isbase; }
    u32 lp=x->at-x->ll; for(u32 k=0;k<x->ll;k++){u8 v=T[lp+k];if(same0){u8 od=B[(i64)(lp+k)+st->r[0]];bbyte(&s->lb,v-(s->sub==1?od:0));bbyte(&s->lo,od);}else {bbyte(&s->la,v);bbyte(&s->lc,lp+k?T[lp+k-1]:0);bbyte(&s->lc,(lp+k)&3);}st_lit[v]++;}
    if(!x->ml)break; u32 oc=off_code(st,x->at,x->src,x->self,&nb);bbyte(&s->of,oc);st_of[oc]++; if(nb){u64 d=x->self?x->at-x->src:(u64)((i64)x->src-(i64)st->oend<0?(i64)st->oend-(i64)x->src:(i64)x->src-(i64)st->oend);wbits(&s->w,d,nb);} 
    c=numcode(x->ml-1,&nb);bbyte(&s->ml,c);wbits(&s->w,x->ml-1,nb);st_ml[c]++; st_step(st,x->at,x->src,x->self,x->ml);} }
static void put_stream(const u8*b,size_t n,buf_t*o,int lvl);
static void lit_put(tstreams_t*s,buf_t*o);
static void t_put(tstreams_t*s,buf_t*o,int lvl){ wflush(&s->w); put_stream(s->ll.p,s->ll.n,o,lvl);put_stream(s->of.p,s->of.n,o,lvl);put_stream(s->ml.p,s->ml.n,o,lvl);if(lvl>=0)lit_put(s,o);else put_stream(s->la.p,s->la.n,o,-1);if(s->sub==2){tstreams_t f;memset(&f,0,sizeof f);f.la=s->lb;for(size_t i=0;i<s->lb.n;i++){bbyte(&f.lc,s->lo.p[i]);bbyte(&f.lc,0);}lit_put(&f,o);}else put_stream(s->lb.p,s->lb.n,o,-1);bvar(o,s->ex.n);bput(o,s->ex.p,s->ex.n); free(s->ll.p);free(s->ml.p);free(s->of.p);free(s->la.p);free(s->lb.p);free(s->ex.p);}
static double entc(const u32*c){double t=0,s=0;int u=0;for(int i=0;i<256;i++)if(c[i]){t+=c[i];u++;}for(int i=0;i<256;i++)if(c[i])s+=c[i]*-log2(c[i]/t);return s/8+u*5/8.+(u?12:0);}
static void lit_split(tstreams_t*s,const u8*map,int mode,buf_t*o){buf_t b[16];memset(b,0,sizeof b);int K=0;for(size_t i=0;i<s->la.n;i++){int c=mode==1?s->lc.p[2*i+1]:map[s->lc.p[2*i]];if(c>=K)K=c+1;bbyte(&b[c],s->la.p[i]);}bbyte(o,(u32)mode|(u32)K<<2);if(mode==2){buf_t m={0,0,0};put_stream(map,256,o,0);}for(int k=0;k<K;k++)put_stream(b[k].p,b[k].n,o,-1);}
static void lit_put(tstreams_t*s,buf_t*o){buf_t a={0,0,0},x={0,0,0};bbyte(&a,4);put_stream(s->la.p,s->la.n,&a,-1); if(s->la.n>512){lit_split(s,0,1,&x);if(x.n<a.n){a=x;}
  static u32 h[256][256];memset(h,0,sizeof h);for(size_t i=0;i<s->la.n;i++)h[s->lc.p[2*i]][s->la.p[i]]++;double c0[256];int al[256],own[256];static double g[256][256];int alive=0;for(int k=0;k<256;k++){int u=0;for(int j=0;j<256;j++)u+=h[k][j]>0;own[k]=k;al[k]=u>0;c0[k]=u?entc(h[k]):0;alive+=al[k];}
  #define GAIN(i,j) ({u32 m[256];for(int Q=0;Q<256;Q++)m[Q]=h[i][Q]+h[j][Q];c0[i]+c0[j]-entc(m);})
  for(int i=0;i<256;i++)if(al[i])for(int j=i+1;j<256;j++)if(al[j])g[i][j]=GAIN(i,j);
  while(alive>1){int bi=-1,bj=0;for(int i=0;i<256;i++)if(al[i])for(int j=i+1;j<256;j++)if(al[j]&&(bi<0||g[i][j]>g[bi][bj])){bi=i;bj=j;}if(g[bi][bj]<0&&alive<=16)break;for(int Q=0;Q<256;Q++)h[bi][Q]+=h[bj][Q];al[bj]=0;alive--;for(int Q=0;Q<256;Q++)if(own[Q]==bj)own[Q]=bi;c0[bi]=entc(h[bi]);for(int j=0;j<256;j++)if(al[j]&&j!=bi){int p=j<bi?j:bi,q2=j<bi?bi:j;g[p][q2]=GAIN(p,q2);}}
  u8 map[256],id[256];int K=0;for(int k=0;k<256;k++)if(al[k])id[k]=(u8)K++;for(int k=0;k<256;k++)map[k]=al[own[k]]?id[own[k]]:(k?map[k-1]:0);buf_t y={0,0,0};lit_split(s,map,2,&y);if(y.n<a.n)a=y;}
  bput(o,a.p,a.n);}
static void clear_stats(void){memset(st_lit,0,sizeof st_lit);memset(st_ll,0,sizeof st_ll);memset(st_ml,0,sizeof st_ml);memset(st_of,0,sizeof st_of);}
/* a stream: plain, or LZ of itself (type 3) */
static void put_stream(const u8*b,size_t n,buf_t*o,int lvl){ buf_t p={0,0,0};put_plain(b,n,&p); 
  if(lvl>=0&&n>=48){ const u8*sB=B,*sT=T;size_t sNB=NB,sNT=NT;price_t sP=P;u64 save[4][256];u32*ch=chain_head,*cp=chain_prev;u32 cb=CBITS; 
    u64 a1[256],a2[NCODE],a3[NCODE],a4[OF_N];memcpy(a1,st_lit,sizeof a1);memcpy(a2,st_ll,sizeof a2);memcpy(a3,st_ml,sizeof a3);memcpy(a4,st_of,sizeof a4);(void)save;
    B=0;NB=0;T=b;NT=n;CBITS=14;chain_head=calloc(1u<<14,4);chain_prev=calloc(n+8,4);prices_init();clear_stats(); for(size_t i=0;i<n;i++)st_lit[b[i]]++; {u64 t=0;for(int i=0;i<256;i++)t+=st_lit[i]*8+1;for(int i=0;i<256;i++)P.lit[i]=(float)logp(st_lit[i]*8+1,t);}
    buf_t best={0,0,0};seqs_t q={0,0,0};for(int pass=0;pass<3;pass++){q.n=0;memset(chain_head,0,4u<<14);st_t st;memset(&st,0,sizeof st);parse(&q,0,(u32)n,&st);memset(&st,0,sizeof st);tstreams_t ts;t_emit_init(&ts);clear_stats();t_emit(&ts,q.s,q.n,&st,0);buf_t t={0,0,0};t_put(&ts,&t,-1);if(!best.p||t.n<best.n){free(best.p);best=t;}else free(t.p);prices_from();}
    free(q.s);free(chain_head);free(chain_prev);chain_head=ch;chain_prev=cp;CBITS=cb;B=sB;T=sT;NB=sNB;NT=sNT;P=sP;memcpy(st_lit,a1,sizeof a1);memcpy(st_ll,a2,sizeof a2);memcpy(st_ml,a3,sizeof a3);memcpy(st_of,a4,sizeof a4);
    if(best.n+2<p.n){p.n=0;bvar(&p,(u64)n*4+3);bput(&p,best.p,best.n);} free(best.p);} 
  bput(o,p.p,p.n);free(p.p);}
/* ---- decode */
typedef struct{const u8*ll,*ml,*of,*la,*lb;br_t ex;u32 sub,mode,K;const u8*end[5];const u8*lc[16],*lce[16];u8*map;u32 bmode;const u8*bc[16],*bce[16];u8*bmap;}tread_t;
static inline u64 num_of(u32 c,br_t*r){ if(c<16)return c; u32 l=4+(c-16)/2; return ((u64)(2+((c-16)&1))<<(l-1))|rbits(r,l-1);}
static u8*get_stream(const u8**p,const u8*e,size_t*n,int lvl);
static int t_get(tread_t*r,const u8**p,const u8*e,int lvl){size_t n;
  r->ll=get_stream(p,e,&n,lvl);if(!r->ll)return -1;r->end[0]=r->ll+n;r->of=get_stream(p,e,&n,lvl);if(!r->of)return -1;r->end[1]=r->of+n;r->ml=get_stream(p,e,&n,lvl);if(!r->ml)return -1;r->end[2]=r->ml+n;r->mode=0;if(lvl>=0){if(*p>=e)return -1;r->mode=**p&3;r->K=*(*p)++>>2;if(r->K>16)return -1;if(r->mode==2){r->map=get_stream(p,e,&n,0);if(!r->map||n!=256)return -1;}} if(r->mode){for(u32 k=0;k<r->K;k++){r->lc[k]=get_stream(p,e,&n,-1);if(!r->lc[k])return -1;r->lce[k]=r->lc[k]+n;}r->la=r->end[3]=0;}else {r->la=get_stream(p,e,&n,-1);if(!r->la)return -1;r->end[3]=r->la+n;}r->bmode=0;if(lvl>=0&&r->sub==2){if(*p>=e)return -1;r->bmode=**p&3;u32 K=*(*p)++>>2;if(K>16)return -1;if(r->bmode==1)return -1;if(r->bmode==2){r->bmap=get_stream(p,e,&n,0);if(!r->bmap||n!=256)return -1;for(u32 k=0;k<256;k++)if(r->bmap[k]>=K)return -1;for(u32 k=0;k<K;k++){r->bc[k]=get_stream(p,e,&n,-1);if(!r->bc[k])return -1;r->bce[k]=r->bc[k]+n;}}} if(!r->bmode){r->lb=get_stream(p,e,&n,-1);if(!r->lb)return -1;r->end[4]=r->lb+n;}
  u64 x=gvar(p,e);if(x>(u64)(e-*p))return -1;r->ex.p=*p;r->ex.e=*p+x;r->ex.acc=0;r->ex.n=0;*p+=x;return 0;}
static inline void copy_fwd(u8*d,const u8*s,size_t n,const u8*dend){ if(n<=16&&(size_t)(dend-d)>=16&&(s+16<=d||s>d)){memcpy(d,s,16);return;} if(s+n<=d||s>=d+n)memcpy(d,s,n);else for(size_t i=0;i<n;i++)d[i]=s[i]; }
static int lits(tread_t*r,u8*out,u64 p,u64 n){ if(!r->mode){if((u64)(r->end[3]-r->la)<n)return -3;memcpy(out+p,r->la,n);r->la+=n;return 0;} if(r->mode==1){for(u64 k=0;k<n;k++){u32 c=(p+k)&3;if(r->lc[c]>=r->lce[c])return -3;out[p+k]=*r->lc[c]++;}return 0;} u32 prev=p?out[p-1]:0;for(u64 k=0;k<n;k++){u32 c=r->map[prev];if(c>=r->K||r->lc[c]>=r->lce[c])return -3;out[p+k]=prev=*r->lc[c]++;}return 0;}
/* decode a gap: returns 0 */
static int t_run(tread_t*r,u8*out,u64 from,u64 to,const u8*base,u64 nb,st_t*st,int isbase){ u64 p=from; u8*oe=out+to;
  while(p<to){ if(r->ll>=r->end[0])return -1; u64 ll=num_of(*r->ll++,&r->ex); if(ll>to-p)return -2;
    if(ll==to-p){ return lits(r,out,p,ll);}
    if(r->of>=r->end[1])return -4; u32 oc=*r->of++; u64 at=p+ll,src;int self=0;
    if(isbase&&oc==OF_SAME&&ll<=8&&r->bmode==2){i64 s=(i64)p+st->r[0];if(s<0||(u64)s+ll>nb)return -6;for(u64 k=0;k<ll;k++){u32 cx=r->bmap[base[s+(i64)k]];if(r->bc[cx]>=r->bce[cx])return -5;out[p+k]=*r->bc[cx]++;}} else if(isbase&&oc==OF_SAME&&ll<=8){ if((u64)(r->end[4]-r->lb)<ll)return -5; if(r->sub==1){i64 s=(i64)p+st->r[0];if(s<0||(u64)s+ll>nb)return -6;for(u64 k=0;k<ll;k++)out[p+k]=(u8)(r->lb[k]+base[s+(i64)k]);}else for(u64 k=0;k<ll;k++)out[p+k]=r->lb[k]; r->lb+=ll; }
    else if(r->mode){if(lits(r,out,p,ll))return -3;} else { if((u64)(r->end[3]-r->la)<ll)return -3; if(ll<=16&&r->end[3]-r->la>=16&&to-p>=16)memcpy(out+p,r->la,16);else memcpy(out+p,r->la,ll); r->la+=ll; }
    if(oc==OF_SAME)src=at+(u64)st->r[0];else if(oc==OF_CONT)src=st->oend;else if(oc==OF_REP1)src=at+(u64)st->r[1];else if(oc==OF_REP2)src=at+(u64)st->r[2];
    else if(oc<OF_SREP){u32 l=(oc-OF_JUMP)/2;u64 j=(1ull<<l)|rbits(&r->ex,l);src=oc&1?st->oend-j:st->oend+j;} else {self=1;u64 d;if(oc==OF_SREP)d=st->sd;else{u32 l=oc-OF_SELF;if(l>31)return -7;d=(1ull<<l)|rbits(&r->ex,l);} if(!d||d>at)return -8;src=at-d;}
    if(r->ml>=r->end[2])return -9; u64 ml=num_of(*r->ml++,&r->ex)+1; if(ml>to-at)return -10;
    if(self)copy_fwd(out+at,out+src,ml,oe); else { if(src>nb||ml>nb-src)return -11; if(ml<=32&&to-at>=32&&nb-src>=32)memcpy(out+at,base+src,32);else memcpy(out+at,base+src,ml);} 
    st_step(st,(u32)at,src,self,(u32)ml);p=at+ml; } return 0; }
static u8*get_stream(const u8**p,const u8*e,size_t*n,int lvl){ u64 v=gvar(p,e);u32 type=v&3;u64 m=v>>2;if(m>(1ull<<28))return 0;u8*o=malloc(m+64);*n=m; if(type<3)return get_plain_body(type,m,p,e,o)?(u8*)0:o; if(lvl<0)return 0; tread_t r;memset(&r,0,sizeof r);if(t_get(&r,p,e,-1))return 0;st_t st;memset(&st,0,sizeof st);int x=t_run(&r,o,0,m,0,0,&st,0);if(x)return 0;return o;}
