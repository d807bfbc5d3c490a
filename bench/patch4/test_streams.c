#define DX_PATCH_IMPLEMENTATION
#include "/tmp/wt/patch2/dx_patch.h"




#include "../lz.h"
int main(int c,char**v){static dx_patch_p_parser p;p.depth=16;p.chain=16;p.links_log=DX_PATCH_P_REPEAT_LINKS;p.links=calloc(1u<<p.links_log,4);p.heads=calloc(1u<<DX_PATCH_P_HEADS_LOG,4);p.steps=malloc(sizeof(dx_patch_p_way)*(DX_PATCH_P_STEPS+DX_PATCH_P_STEPS_MORE+8));size_t sum=0,n;double tt=0,te=0;size_t tot=0;int fuzz=atoi(v[1]);
 for(int i=2;i<c;i++){u8*b=load(v[i],&n);if(!n)continue;dx_patch_p_store st;st.left=st.left_min=16*n+8192;st.at=malloc(st.left);dx_patch_p_sink k;memset(&k,0,sizeof k);k.at=malloc(2*n+5000);k.end=k.at+2*n+5000;u8*o=k.at;double t0=now_s();dx_patch_p_put_stream(&k,&p,st,b,n);te+=now_s()-t0;size_t m=(size_t)(k.at-o);sum+=m;if(fuzz>=0&&getenv("V"))printf("%s %zu -> %zu form %d\n",v[i],n,m,o[0]&3);
  u32*table=malloc(16384);u8*mem=malloc(4*n+5000);for(int rep=0;rep<2+fuzz;rep++){u8*in=malloc(m);memcpy(in,o,m);size_t cut=m;if(rep>=2){for(int z=1+rand()%3;z--;)in[rand()%m]^=(u8)(1<<rand()%8);if(rand()%4==0){cut=rand()%(m+1);u8*q=malloc(cut+1);memcpy(q,in,cut);free(in);in=q;}}dx_patch_p_streams s;memset(&s,0,sizeof s);s.in.at=in;s.in.end=in+cut;s.store.at=mem;s.store.left=s.store.left_min=4*n+5000;s.table=table;dx_patch_p_span out;double t=now_s();int ok=dx_patch_p_read_stream(&s,&out);t=now_s()-t;if(rep==1){tt+=t;tot+=n;}if(rep<2&&(!ok||(size_t)(out.end-out.at)!=n||memcmp(out.at,b,n)||s.in.at!=s.in.end)){printf("BAD %s\n",v[i]);return 1;}free(in);}
  free(st.at);free(o);free(table);free(mem);free(b);}
 printf("sum %zu of %zu, decode %.0f MB/s encode %.0f MB/s\n",sum,tot,tot/tt/1e6,tot/te/1e6);return 0;}
