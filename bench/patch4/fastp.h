static u32*midx;static u32 mshift;
static void map_index(dx_patch_p_predictor*x,u64 nb){ mshift=9;u64 n=(nb>>mshift)+2;midx=realloc(midx,n*4);const u32*olds=x->matches_+4*(size_t)x->count_;u32 k=0;for(u64 i=0;i<n;i++){u64 s=i<<mshift;while(k+1<x->count_&&olds[k+1]<=s)k++;midx[i]=k;} }
static inline u64 fmapoff(const dx_patch_p_predictor*x,u64 off,u32*sure){ if(!x->count_)return off; const u32*order=x->matches_+3*(size_t)x->count_,*olds=order+x->count_;u32 k=midx[off>>mshift];while(k+1<x->count_&&olds[k+1]<=off)k++;const u32*m=x->matches_+3*(size_t)order[k];*sure=off-m[1]<m[2];return off-m[1]+m[0];}
static u32 lseg0,lseg1;
static inline u64 faddr(const dx_patch_p_predictor*x,u64 off){const u64*s=x->setup_[1]+2;u32 n=(u32)x->setup_[1][0];const u64*q=s+4*lseg1;if(lseg1<n&&off-q[0]<q[2])return q[1]+off-q[0];for(u32 i=0;i<n;i++,s+=4)if(off-s[0]<s[2]){lseg1=i;return s[1]+(off-s[0]);}return off;}
static inline int fmap(const dx_patch_p_predictor*x,u64 a,u64*out){const u64*s=x->setup_[0]+2,*t=x->setup_[1]+2;u32 n=(u32)x->setup_[0][0],i=lseg0,sure; if(i>=n||a-s[4*i+1]>=s[4*i+3])for(i=0;i<n;i++)if(a-s[4*i+1]<s[4*i+3])break; if(i>=n)return 0;lseg0=i;s+=4*i;t+=4*i;u64 in=a-s[1];if(in<s[2])*out=faddr(x,fmapoff(x,s[0]+in,&sure));else if(i<x->setup_[1][0])*out=t[1]+t[2]+(in-s[2]);else *out=a;return 1;}
static u8 cls[256];
static __attribute__((noinline)) void fields(dx_patch_p_delta*d,dx_patch_p_block*b,u8*to,rd_t*R,u64*frp){
  u32 id=d->id_,kind=id<=DX_PATCH_P_ID_POINTER?id-1:id<DX_PATCH_P_ID_SINGLES?2:3; u64 fr=*frp;dx_patch_p_predictor*x=&d->predictor_;
#define WRONG() {err=dx_patch_p_unzigzag(1+rn(&R[S_FIX0+kind]));fr=R[S_FLAG].p<R[S_FLAG].e?rv(&R[S_FLAG]):~0ull;}
  if(id==0)return;
  if(id==1){ const u8*p=b->old_bytes;int i=0,from=b->from,size=(int)b->size,lim=(int)b->limit-4; if(!cls[0xe8]){for(int k=0;k<256;k++)cls[k]=(k&0xfe)==0xe8||(k&0xc7)==5?1:(k&0xf0)==0x80?2:0;}
    if(!i&&from>=0)i=1;if(i<=from)i=from+1; u64 ab=b->old_at+b->bias[0]+4,nbias=b->new_at+b->bias[1]+4;
    for(;i<size;){ u32 c=cls[p[i-1]]; if(!c){i++;continue;} if(c==2&&(i-2<from||p[i-2]!=0x0f)){i++;continue;} if((p[i-1]&0xfe)!=0xe8&&i-2<from){i++;continue;} if(i>lim){i++;continue;}
      u32 w=ld32(p+i);u64 tg=(u64)(i64)(int32_t)w+ab+(u64)i,mp; if(!fmap(x,tg,&mp)){i++;continue;}
      u32 slot=(u32)(((tg>>x->region_bits_)*0x9e3779b97f4a7c15u)>>54);u32 used=x->memory_[slot];u32 v=(u32)(mp+(u64)(i64)(int32_t)used-(nbias+(u64)i)); u64 err=0; if(fr)fr--;else{WRONG() x->memory_[slot]=used+(u32)err;v+=(u32)err;} memcpy(to+i,&v,4);i+=4;from=i; if(i<=from)i=from+1; }
    if(from>(int)b->size)b->size=(u32)from; *frp=fr;return; }
  if(id>=2&&id<=5){ u32 sz=id==2?8:4; const u8*p=b->old_bytes;u32 i=(u32)((0-b->old_at)&(sz-1));u32 from=0;
    for(;i<b->size&&b->limit-i>=sz;i+=sz){ u64 w=sz==8?ld64(p+i):ld32(p+i),tg,org=0; if(id==2||id==5){if(w<256)continue;tg=w;}else if(id==3){if((u32)(w+0x10000u)<0x20000u)continue;tg=(u64)(i64)(int32_t)w+b->old_at+b->bias[0]+i;org=b->new_at+b->bias[1]+i;}else{tg=(u64)(i64)(int32_t)w+b->origin[0];org=b->origin[1];}
      u64 mp;if(!fmap(x,tg,&mp))continue; u32 slot=(u32)(((tg>>x->region_bits_)*0x9e3779b97f4a7c15u)>>54);u32 used=x->memory_[slot];u64 v=mp+(u64)(i64)(int32_t)used-org,err=0; if(fr)fr--;else{WRONG() x->memory_[slot]=used+(u32)err;v+=err;} memcpy(to+i,&v,sz);from=i+sz; }
    if(from>b->size)b->size=from; *frp=fr;return; }
  *frp=fr;
  for(;;){ b->at=dx_patch_p_next_place(d->id_,b,b->at,b->from);if(b->at>=b->size)break;dx_patch_p_field f=dx_patch_p_predict(&d->predictor_,d->id_,b,b->at,b->from);
   if(f.size){u64 err=0;if(*frp)--*frp;else{err=dx_patch_p_unzigzag(1+rn(&R[S_FIX0+kind]));*frp=R[S_FLAG].p<R[S_FLAG].e?rv(&R[S_FLAG]):~0ull;}
     if(f.slot<1024){d->predictor_.memory_[f.slot]=f.used+(u32)(err<<f.shift);if(id==10){ex_tag[f.ex]=f.tag;ex_val[f.ex]=d->predictor_.memory_[f.slot];}}
     dx_patch_p_store_field(to+b->at,f.form,f.size,f.value+err);b->at+=f.size;b->from=(int32_t)b->at;} else b->at++; }
  if(b->from>(int32_t)b->size)b->size=(u32)b->from; }
