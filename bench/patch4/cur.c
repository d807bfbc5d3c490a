#define DX_PATCH_IMPLEMENTATION
#include "/tmp/wt/patch2/dx_patch.h"
#include "lz.h"
int main(int c,char**v){size_t a,b,n,m;u8*o=load(v[1],&a),*t=load(v[2],&b);
dx_patch_create_desc d;memset(&d,0,sizeof d);d.level=(uint32_t)atoi(v[3]);d.skip_check=true;d.memory_size=dx_patch_create_memory_size(&d,a,b);d.memory=malloc(d.memory_size);
size_t cap=dx_patch_bound(&d,a,b);u8*p=malloc(cap),*out=malloc(b+1);double t0=now_s();
int e=dx_patch_create(&d,o,a,t,b,p,cap,&n);double t1=now_s();size_t ms=300u<<20;void*mem=malloc(ms);memset(mem,1,1<<20);memset(out,0,b);
double best=1e9;for(int i=0;i<(c>4?atoi(v[4]):3);i++){double x=now_s();dx_patch_applier ap;dx_patch_applier_desc ad;memset(&ad,0,sizeof ad);ad.base=o;ad.base_size=a;ad.out=out;ad.out_capacity=b;ad.memory=mem;ad.memory_size=ms;ad.skip_base_hash=ad.skip_target_hash=c>5;
 e|=dx_patch_applier_init(&ap,&ad);ap.whole_=true;e|=dx_patch_applier_feed(&ap,p,n);e|=dx_patch_applier_finish(&ap);x=now_s()-x;if(x<best)best=x;}
printf("L%s %zu create %.2fs apply %.4fs %.3f GB/s err %d %d\n",v[3],n,t1-t0,best,(double)b/best/1e9,e,memcmp(out,t,b)!=0);return e;}
