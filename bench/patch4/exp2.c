#include "t.h"
static size_t sz(const u8*b,size_t n,int lvl){buf_t o={0,0,0};put_stream(b,n,&o,lvl);size_t r=o.n;free(o.p);return r;}
int main(int c,char**v){chain_head=calloc(1u<<CBITS,4);size_t n;char nm[300];sprintf(nm,"d2/%s.ctx",v[1]);u8*b=load(nm,&n);n/=6;u8*t=malloc(n+1),*t2=malloc(n+1);for(size_t i=0;i<n;i++){t[i]=b[6*i];t2[i]=b[6*i]+b[6*i+1];}
 printf("%s n %zu diff LZ %zu o0 %zu | raw LZ %zu o0 %zu\n",v[1],n,sz(t,n,0),sz(t,n,-1),sz(t2,n,0),sz(t2,n,-1));
 for(int raw=0;raw<2;raw++)for(int mode=0;mode<7;mode++){size_t s=0,s0=0;for(int k=0;k<256;k++){size_t m=0;for(size_t i=0;i<n;i++){u8*q=b+6*i;int z=q[4]==0;int ctx=mode==0?z:mode==1?q[5]:mode==2?(q[1]>>4):mode==3?(q[2]>>4):mode==4?z*4+(q[3]==0||q[3]==1||q[3]==255)*2+(q[3]>>7):mode==5?(q[4]>3?4:q[4]):q[1];if(ctx==k)t[m++]=q[0]+(raw?q[1]:0);}if(m){s+=sz(t,m,0);s0+=sz(t,m,-1);}}printf("  %s mode %s LZ %zu o0 %zu\n",raw?"raw":"diff",(const char*[]){"z","id","old>>4","before>>4","z,last","run","old"}[mode],s,s0);} }
